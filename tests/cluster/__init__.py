"""A real Kubernetes cluster for the tests: control plane, nodes and containers as processes of this machine.

`Cluster` is the front; `python -m tests.cluster` is the same for the hands. See docs/contributing/cluster-tests.md.
"""
