"""Whose decision may change when an object changes. Pure."""

from collections.abc import Iterator

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.model_server import Activation
from joulebench_operator.cache import Cache
from joulebench_operator.kinds import BENCHMARK_RUN, MODEL_SERVER, POD, Key
from joulebench_operator.names import EXPORTER_PART, PART_LABEL, RUN_LABEL, SERVER_LABEL
from joulebench_operator.objects import Object, key_of
from joulebench_operator.runs.uses import is_finished, uses
from joulebench_operator.settling import condition_of


def touched(item: Object, cache: Cache) -> set[Key]:
    """The keys of our own objects that must be looked at because this object was added, changed or removed."""
    key = key_of(item)
    found = {owner for owner in _labelled_owners(item) if cache.get(owner) is not None}
    if key.kind == MODEL_SERVER.name:
        found |= {key, *map(key_of, cache.runs_on([key.name], key.namespace))}
    elif key.kind == BENCHMARK_RUN.name:
        found |= {key, *_beside(item, cache)}
    elif key.kind == POD.name and (item["metadata"].get("labels") or {}).get(PART_LABEL) == EXPORTER_PART:
        found |= {key_of(run) for run in cache.everywhere(BENCHMARK_RUN) if not is_finished(run)}
        found |= {key_of(server) for server in cache.everywhere(MODEL_SERVER) if _lacks_devices(server, item)}
    elif key.kind == POD.name:
        found |= _served_by(item, cache)
    return found


def _served_by(pod: Object, cache: Cache) -> set[Key]:
    """Runs that a server's pod serves: they tell their runners where it is."""
    name, namespace = (pod["metadata"].get("labels") or {}).get(SERVER_LABEL), pod["metadata"]["namespace"]
    server = None if name is None else cache.get(Key(MODEL_SERVER.name, namespace, name))
    if name is None or server is None:
        return set()
    makers = {owner for owner in _labelled_owners(server) if owner.kind == BENCHMARK_RUN.name}
    return {*makers, *map(key_of, cache.runs_on([name], namespace))}


def _lacks_devices(server: Object, exporter: Object) -> bool:
    """Whether a pod of the server on the exporter's node has devices that are not known yet."""
    node = (exporter.get("spec") or {}).get("nodeName")
    endpoints = (server.get("status") or {}).get("endpoints") or ()
    return any(entry.get("node") == node and not entry.get("devices") for entry in endpoints)


def _labelled_owners(item: Object) -> Iterator[Key]:
    labels, namespace = item["metadata"].get("labels") or {}, item["metadata"]["namespace"]
    for label, kind in ((SERVER_LABEL, MODEL_SERVER), (RUN_LABEL, BENCHMARK_RUN)):
        if label in labels:
            yield Key(kind.name, namespace, labels[label])


def _beside(run: Object, cache: Cache) -> Iterator[Key]:
    """The servers that a run wakes up, and the runs that take turns with it once it waits for nothing any more.

    One that goes on keeps others waiting, which changes nothing for them: with many runs, each of them has many news.
    """
    namespace, names = run["metadata"]["namespace"], uses(run)
    for name in names:
        server = cache.get(Key(MODEL_SERVER.name, namespace, name))
        if server is not None and server["spec"].get("activation") == Activation.ON_DEMAND:
            yield key_of(server)
    if names and _gives_way(run, cache):
        yield from map(key_of, cache.runs_on(names, namespace))


def _gives_way(run: Object, cache: Cache) -> bool:
    """Whether a run has ended, is gone, or is held up, so that it may be another's turn."""
    if cache.get(key_of(run)) is None or run["metadata"].get("deletionTimestamp"):
        return True
    status = run.get("status") or {}
    ready, stalled = condition_of(status, ConditionType.READY), condition_of(status, ConditionType.STALLED)
    lacks_a_server = ready is not None and ready.get("reason") == Reason.SERVER_NOT_FOUND
    return is_finished(run) or bool(run["spec"].get("suspend")) or stalled is not None or lacks_a_server
