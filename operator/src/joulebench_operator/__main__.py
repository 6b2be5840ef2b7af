"""`python -m joulebench_operator` is the command `joulebench-operator`."""

from joulebench_operator.cli import main

main()
