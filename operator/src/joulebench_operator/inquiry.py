"""What the operator must ask somebody else than the API server for: decisions name it, an edge asks, and the answer is
there at the next visit. So decisions stay pure.
"""

from dataclasses import dataclass
from typing import Any, Final

from joulebench_api.engines.command import VersionSource


@dataclass(frozen=True, slots=True)
class Served:
    """Does a server answer? GET `/health`; where no key is needed also `/v1/models` and one short completion."""

    address: str
    """`http://host:port` of one pod."""
    health_path: str
    model: str | None
    """The name that must be listed and must complete; None: a key is needed, which the operator never reads."""
    pod_uid: str
    """A pod that is replaced is asked anew."""
    version: VersionSource | None = None
    """Where one that serves is asked for the engine's release."""


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """What a server answered."""

    ready: bool
    message: str | None = None
    """What was wrong, such as "/v1/models lists other, not llama"."""
    version: str | None = None
    """The engine's release; None where it does not say."""


@dataclass(frozen=True, slots=True)
class MeterStatus:
    """How far is a run? GET `/status` of the meter's container."""

    address: str
    """`http://host:port` of the runner's pod."""


@dataclass(frozen=True, slots=True)
class LastWords:
    """The last lines of an ended container's log, with what looks like a secret taken out."""

    namespace: str
    pod: str
    container: str
    restart: int
    """Which of its starts ended, from 0: each ending has its own last words."""


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods that others made, by their labels: looked up every few seconds for as long as somebody asks."""

    namespace: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Devices:
    """Which devices has a pod? `Describe` of the exporter on its node, a few times while it does not know the pod."""

    exporter: str
    """`host:port` of its gRPC service."""
    namespace: str
    pod: str
    pod_uid: str
    """A pod of the same name is asked for anew."""


Inquiry = Served | MeterStatus | LastWords | Pods | Devices

ANSWERS: Final = {
    Served: "ServedAnswer",
    MeterStatus: "joulebench_api.contracts.meter.MeterStatus, or None while it does not answer",
    LastWords: "str",
    Pods: "list of pods as Objects",
    Devices: "tuple of UUIDs, sorted; empty while the exporter knows of none",
}
"""What `View.answer` gives for each; None until it was answered for the first time."""

Answer = Any
