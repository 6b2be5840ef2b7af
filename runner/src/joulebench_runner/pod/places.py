"""Where the containers of a pod find what they share."""

from dataclasses import dataclass
from pathlib import Path

from joulebench_api.contracts import assignment as fixed
from joulebench_api.contracts.ports import METER_PROXY_PORT, METER_STATUS_PORT

_POD = Path("/")


@dataclass(frozen=True)
class Places:
    """The fixed places of a pod, all below `root`; below another folder than `/` they are for a trial on one machine,
    whose ports are any free ones."""

    root: Path = _POD

    @property
    def is_trial(self) -> bool:
        """Whether this is no pod."""
        return self.root != _POD

    @property
    def assignment(self) -> Path:
        """`assignment.json`."""
        return self._at(fixed.ASSIGNMENT_FOLDER) / fixed.ASSIGNMENT_FILE

    @property
    def topology(self) -> Path:
        """`topology.json`."""
        return self._at(fixed.TOPOLOGY_FOLDER) / fixed.TOPOLOGY_FILE

    @property
    def results(self) -> Path:
        """Folder of the runs' folders."""
        return self._at(fixed.RESULTS_FOLDER)

    @property
    def data(self) -> Path:
        """Folder of the questions, one folder a task."""
        return self._at(fixed.DATA_FOLDER)

    @property
    def token(self) -> Path:
        """The token for the exporters."""
        return self._at(fixed.TOKEN_FOLDER) / "token"

    @property
    def exporter_ca(self) -> Path:
        """Who signed the exporters' certificates."""
        return self._at(fixed.EXPORTER_CA_FOLDER) / fixed.EXPORTER_CA_FILE

    @property
    def termination(self) -> Path:
        """Where a container's last words go."""
        return self._at(fixed.TERMINATION_FILE)

    @property
    def control_socket(self) -> Path:
        """Of the meter, for the driver."""
        return self._at(fixed.SOCKETS_FOLDER) / "control.sock"

    @property
    def ready_file(self) -> Path:
        """The meter writes it once it listens."""
        return self._at(fixed.SOCKETS_FOLDER) / "ready.json"

    @property
    def meter_outcome(self) -> Path:
        """A meter that fails writes it."""
        return self._at(fixed.SOCKETS_FOLDER) / "meter-outcome.json"

    @property
    def proxy_port(self) -> int:
        """The meter's, for the driver."""
        return 0 if self.is_trial else METER_PROXY_PORT

    @property
    def status_port(self) -> int:
        """The meter's, for the operator and for Prometheus."""
        return 0 if self.is_trial else METER_STATUS_PORT

    @property
    def status_host(self) -> str:
        """The operator asks from elsewhere."""
        return "127.0.0.1" if self.is_trial else "0.0.0.0"  # noqa: S104 - it tells nothing of questions and answers

    def make(self) -> None:
        """For a trial, make the folders that the kubelet makes for a pod."""
        if self.is_trial:
            for path in (self.control_socket, self.termination):
                path.parent.mkdir(parents=True, exist_ok=True)

    def _at(self, path: str) -> Path:
        return self.root / path.removeprefix("/")
