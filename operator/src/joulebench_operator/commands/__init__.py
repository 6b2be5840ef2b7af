"""Commands of `joulebench` that ask a cluster. They use the rights of whoever calls them, and not the operator's.

They are entry points (`joulebench.commands`), found by the command line of the runner's package; neither imports the
other. Each module imports the Kubernetes client only where it is used, so that `--help` stays fast.
"""
