"""Names of what belongs to one attempt at a run."""

from dataclasses import dataclass

from joulebench_operator.names import child_name

SERVER_NAME_LENGTH = 45
"""At most, for a ModelServer: its own children's names are longer."""


@dataclass(frozen=True)
class Names:
    """Names of the children of a run's attempt."""

    run: str
    attempt: int

    @property
    def assignment(self) -> str:
        """ConfigMap with the assignment."""
        return child_name(self.run, f"{self.attempt}")

    @property
    def topology(self) -> str:
        """ConfigMap with the topology."""
        return child_name(self.run, f"{self.attempt}-topology")

    @property
    def preflight(self) -> str:
        """Job of the preflight."""
        return child_name(self.run, f"{self.attempt}-preflight")

    @property
    def runner(self) -> str:
        """Job of the runner."""
        return child_name(self.run, f"{self.attempt}")

    @property
    def finalise(self) -> str:
        """Job that makes the results of a run of several shards."""
        return child_name(self.run, f"{self.attempt}-finalise")

    @property
    def results(self) -> str:
        """Claim of the results, of all attempts."""
        return child_name(self.run, "results")

    @property
    def folder(self) -> str:
        """Folder of the attempt's results."""
        return self.run if self.attempt == 1 else f"{self.run}-{self.attempt}"

    def server(self, alias: str) -> str:
        """ModelServer that is made from a template."""
        return child_name(self.run, alias, limit=SERVER_NAME_LENGTH)


def run_id(uid: str, attempt: int) -> str:
    """Unique to the run and its attempt."""
    return uid if attempt == 1 else f"{uid}-{attempt}"
