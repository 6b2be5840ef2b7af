"""A server's pods as they are read from the cache: typed, and nothing but what is needed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joulebench_operator.cache import Cache
from joulebench_operator.kinds import POD
from joulebench_operator.objects import Object
from joulebench_operator.servers.pod_template import CONTAINER, TEMPLATE

_OVER: Final = ("Succeeded", "Failed")
_GATE: Final = "kueue.x-k8s.io/"


@dataclass(frozen=True)
class SeenPod:
    """One pod."""

    item: Object

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.item["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its identity."""
        return str(self.item["metadata"].get("uid", ""))

    @property
    def is_going(self) -> bool:
        """Whether it ends, or has ended (an evicted pod stays as a record)."""
        return self.item["metadata"].get("deletionTimestamp") is not None or self._status.get("phase") in _OVER

    @property
    def is_over(self) -> bool:
        """Whether it is no more than a record."""
        return self._status.get("phase") in _OVER

    @property
    def template(self) -> str | None:
        """Hash of the template that it was made from."""
        found: str | None = (self.item["metadata"].get("annotations") or {}).get(TEMPLATE)
        return found

    @property
    def waits_for_quota(self) -> bool:
        """Whether Kueue holds it back."""
        gates = self._spec.get("schedulingGates") or ()
        return any(str(gate.get("name", "")).startswith(_GATE) for gate in gates)

    @property
    def ip(self) -> str | None:
        """Its address."""
        found: str | None = self._status.get("podIP")
        return found

    @property
    def node(self) -> str | None:
        """The node that it is on."""
        found: str | None = self._spec.get("nodeName")
        return found

    @property
    def is_ready(self) -> bool:
        """Whether its health was found good."""
        return (self.condition("Ready") or {}).get("status") == "True"

    def condition(self, name: str) -> Object | None:
        """One of its conditions."""
        conditions = self._status.get("conditions") or ()
        return next((entry for entry in conditions if entry.get("type") == name), None)

    def since(self, name: str) -> datetime | None:
        """Since when a condition is True."""
        found = self.condition(name) or {}
        return instant(found.get("lastTransitionTime")) if found.get("status") == "True" else None

    def changed(self, name: str) -> datetime | None:
        """Since when a condition is as it is."""
        return instant((self.condition(name) or {}).get("lastTransitionTime"))

    def is_since(self, time: datetime | None) -> bool:
        """Whether it was not made before that time."""
        return time is None or self.created is None or self.created >= time

    @property
    def container(self) -> Object:
        """The status of its one container; empty while there is none."""
        statuses = self._status.get("containerStatuses") or ()
        return next((entry for entry in statuses if entry.get("name") == CONTAINER), {})

    @property
    def waiting(self) -> Object:
        """Why the container does not run; empty if it runs or has ended."""
        return (self.container.get("state") or {}).get("waiting") or {}

    @property
    def running_since(self) -> datetime | None:
        """When the container that runs was started."""
        return instant(((self.container.get("state") or {}).get("running") or {}).get("startedAt"))

    @property
    def ended(self) -> Object:
        """How the container ended last; empty if it never did."""
        states = (self.container.get("state") or {}, self.container.get("lastState") or {})
        return next((state["terminated"] for state in states if state.get("terminated")), {})

    @property
    def restarts(self) -> int:
        """How often the container was started again."""
        return int(self.container.get("restartCount", 0))

    @property
    def image_digest(self) -> str | None:
        """`sha256:...` of the image that runs."""
        _, found, digest = str(self.container.get("imageID", "")).rpartition("@")
        return digest if found else None

    @property
    def created(self) -> datetime | None:
        """When it was made."""
        return instant(self.item["metadata"].get("creationTimestamp"))

    @property
    def _status(self) -> Any:
        return self.item.get("status") or {}

    @property
    def _spec(self) -> Any:
        return self.item.get("spec") or {}


def seen_pods(namespace: str, labels: dict[str, str], cache: Cache) -> list[SeenPod]:
    """The pods that a server's selector finds, by name."""
    return [SeenPod(item) for item in cache.labelled(POD, namespace, labels)]


def instant(text: str | None) -> datetime | None:
    """A time of the API server; None for none."""
    return None if not text else datetime.fromisoformat(text)
