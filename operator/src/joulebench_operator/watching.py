"""The watches: kopf tells what changes, the cache remembers it, the queue gets who is touched.

Only kopf's `on.event` is used: it writes nothing to objects, neither finalizers nor annotations, so nothing hangs in
deletion when the operator is gone.

kopf's `index` would hold back all events until every kind was listed. But it wakes all events that it holds back for
each that comes: with 5,000 objects a start takes minutes. So the picture is filled at once, and nothing is decided
before it is whole (`Audit.until_whole`).
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import kopf

from joulebench_operator import metrics
from joulebench_operator.cache import Cache
from joulebench_operator.dependents import touched
from joulebench_operator.kinds import OWN, WATCHED, Key, Kind
from joulebench_operator.names import MANAGED_BY, MANAGER
from joulebench_operator.objects import Object, key_of

_LOG: Final = logging.getLogger(__name__)

OURS: Final = f"{MANAGED_BY}={MANAGER}"
"""Label selector of everything that is watched and not of our own kinds."""

SILENT_SECONDS: Final = 70.0
"""A watch that says nothing for so long is dead, and is begun anew where it was: the API server sends each a bookmark
about every minute, and remembers what happened for at least 75 s."""


class Add(Protocol):
    """Puts a key into the queue."""

    def __call__(self, key: Key, *, is_new: bool = False) -> None:
        """`is_new`: the object has just been made."""


def registry(cache: Cache, add: Add) -> kopf.OperatorRegistry:
    """The handlers of all kinds that are watched."""
    made = kopf.OperatorRegistry()
    kopf.on.login(registry=made)(_login)
    for kind in WATCHED:
        where = {"group": kind.group, "version": kind.version, "plural": kind.plural, "registry": made}
        kopf.on.event(id=f"event-{kind.plural}", **where)(_observer(kind, cache, add))  # type: ignore[arg-type]
    return made


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's own rights, or those of the kubeconfig."""
    in_pod = kopf.login_with_service_account(**kwargs)
    return in_pod if in_pod is not None else kopf.login_with_kubeconfig(**kwargs)


def _observer(kind: Kind, cache: Cache, add: Add) -> Any:
    async def observe(event: Any, **_: Any) -> None:
        metrics.LAST_EVENT.labels(kind=kind.name).set_to_current_time()
        item: Object = dict(event["object"])
        if event["type"] == "DELETED":
            forget(item, cache, add)
            return
        cache.put(item)
        own = key_of(item)
        for key in touched(item, cache):
            add(key, is_new=key == own and event["type"] == "ADDED")

    return observe


def forget(item: Object, cache: Cache, add: Callable[[Key], None]) -> None:
    """An object, as it was last, is gone."""
    cache.end(item)
    for key in touched(item, cache):
        add(key)


def settings() -> kopf.OperatorSettings:
    """How kopf is to watch."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.persistence.diffbase_storage = _NoEssence()
    chosen.persistence.progress_storage = _NoProgress()
    # Without it, all custom resource definitions and namespaces would be watched too, and the rights for it needed.
    chosen.scanning.disabled = True
    chosen.watching.server_timeout = 600
    chosen.watching.client_timeout = 660
    chosen.watching.connect_timeout = 10
    chosen.watching.inactivity_timeout = SILENT_SECONDS
    # kopf's worker of an object holds its last event while it idles: at a start that would be everything, twice.
    chosen.watching.chunk_size = 100
    chosen.queueing.idle_timeout = 0.1
    for kind in WATCHED:
        if kind not in OWN:
            chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = OURS
    chosen.networking.request_timeout = 30
    chosen.networking.connect_timeout = 10
    chosen.networking.enforce_retry_after = True
    chosen.networking.error_backoffs = [1, 2, 4, *[8] * 1000]
    chosen.execution.max_workers = 4
    chosen.process.ultimate_exiting_timeout = None
    return chosen


class _NoEssence(kopf.DiffBaseStorage):
    """kopf copies each object as it comes, to see what has changed since; nobody asks it."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing of kopf's is kept."""


class _NoProgress(kopf.ProgressStorage):
    """kopf's record of handlers that are to be tried again; there is none."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing of kopf's is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing is there."""

    def touch(self, **_: Any) -> None:
        """Objects are left alone."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def scope(namespaces: Sequence[str]) -> dict[str, Any]:
    """What kopf is to be told of the namespaces; none are all."""
    return {"namespaces": list(namespaces)} if namespaces else {"clusterwide": True}
