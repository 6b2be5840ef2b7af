"""What can go wrong with the test cluster."""


class ClusterError(Exception):
    """The cluster cannot do what was asked; says what failed, with which value, and what to do."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


class NotPossibleHereError(ClusterError):
    """This machine cannot run the cluster at all: tests are skipped with this reason."""
