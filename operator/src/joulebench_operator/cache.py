"""The operator's picture of the cluster: what the watches last said, and what was answered. Plain memory, no I/O."""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from sys import intern
from typing import Any

from joulebench_operator.inquiry import Answer, Inquiry
from joulebench_operator.kinds import BENCHMARK_RUN, JOB, POD, Key, Kind
from joulebench_operator.names import PART_LABEL, RUN_LABEL, SERVER_LABEL
from joulebench_operator.objects import Object, controller_of, key_of
from joulebench_operator.runs.jobs_seen import is_over
from joulebench_operator.runs.uses import is_finished, uses

_DROPPED = ("managedFields",)
_KEPT_OF_PODS = ("nodeName", "schedulingGates")
"""Of a pod's spec. Decisions know what they asked for; with thousands of pods the rest is most of the memory."""
_KEPT_OF_ENDED_JOBS = ("suspend", "completions")
"""Of a Job that is over, beside the names of what its pods begin with: it is never written again."""
_LONGEST_SHARED = 64

_INDEXED = (SERVER_LABEL, RUN_LABEL, PART_LABEL)
"""Labels by which objects are looked for: a visit must not look at all that there is."""
_Mark = tuple[str, str]
"""What objects are found by: a label with its value, _OWNER with the uid of the controller, or, of a run that has not
ended, _USES with the name of a ModelServer.
"""
_OWNER, _USES = "", "uses"

_REMEMBERED = 4096
"""How many objects that are gone are remembered: as many as may be written while the watch tells of their end."""


class _Shelf:
    """The objects of a kind in a namespace by name, and the names by mark."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self._names: dict[_Mark, set[str]] = {}
        self._marks: dict[str, frozenset[_Mark]] = {}

    def put(self, name: str, item: Object) -> None:
        self.objects[name] = item
        self._mark(name, frozenset(_marks(item)))

    def remove(self, name: str) -> None:
        self.objects.pop(name, None)
        self._mark(name, frozenset())
        self._marks.pop(name, None)

    def _mark(self, name: str, marks: frozenset[_Mark]) -> None:
        before = self._marks.get(name, frozenset())
        for mark in before - marks:
            self._names[mark].discard(name)
            if not self._names[mark]:
                del self._names[mark]
        for mark in marks - before:
            self._names.setdefault(mark, set()).add(name)
        self._marks[name] = marks

    def marked(self, *marks: _Mark) -> list[Object]:
        """By name, those that have the rarest of these marks; without any mark, all."""
        names = min((self._names.get(mark, set()) for mark in marks), key=len, default=self.objects.keys())
        return [self.objects[name] for name in sorted(names)]

    def marked_by_any(self, marks: Iterable[_Mark]) -> list[Object]:
        """By name, those that have at least one of these marks."""
        names = set[str]().union(*(self._names.get(mark, ()) for mark in marks))
        return [self.objects[name] for name in sorted(names)]


class Cache:
    """Objects by kind, namespace and name. What decisions read of it is the class's whole public side but `put`,
    `remove` and `answered`, which belong to the edge.
    """

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._answers: dict[Inquiry, Answer] = {}
        self._gone: dict[str, int] = {}
        """Resource versions at which objects (by uid) have gone, the oldest first."""

    def put(self, item: Object) -> None:
        """Remember an object as it is now. An older state than the known one (a watch that lags behind our own write)
        changes nothing, nor does one of an object that the watch has told the end of.
        """
        key = key_of(item)
        known = self.get(key)
        if known is not None and _is_older(item, than=known):
            return
        if _version(item) <= self._gone.get(item["metadata"].get("uid", ""), -1):
            return
        shelf = self._shelves.setdefault((key.kind, key.namespace), _Shelf())
        shelf.put(key.name, _shared(_trimmed(item)))

    def end(self, item: Object) -> None:
        """The watch tells that this object, as it was last, is gone (or has no label of ours any more)."""
        self._gone[item["metadata"].get("uid", "")] = _version(item)
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self.remove(key_of(item))

    def remove(self, key: Key) -> None:
        """Forget an object."""
        self._shelf(key.kind, key.namespace).remove(key.name)

    def get(self, key: Key) -> Object | None:
        """One object; None if it is not there."""
        return self._shelf(key.kind, key.namespace).objects.get(key.name)

    def all(self, kind: Kind, namespace: str) -> list[Object]:
        """All objects of a kind in a namespace, by name."""
        return self._shelf(kind.name, namespace).marked()

    def everywhere(self, kind: Kind) -> Iterator[Object]:
        """All objects of a kind in all namespaces."""
        for (name, _), shelf in sorted(self._shelves.items(), key=itemgetter(0)):
            if name == kind.name:
                yield from shelf.objects.values()

    def owned(self, kind: Kind, owner: Object) -> list[Object]:
        """The objects of a kind that `owner` controls."""
        metadata = owner["metadata"]
        return self._shelf(kind.name, metadata["namespace"]).marked((_OWNER, metadata["uid"]))

    def runs_on(self, servers: Iterable[str], namespace: str) -> list[Object]:
        """The runs of a namespace that name one of these ModelServers and have not ended, by name."""
        return self._shelf(BENCHMARK_RUN.name, namespace).marked_by_any((_USES, name) for name in servers)

    def labelled(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """The objects of a kind in a namespace that have all these labels."""
        marks = ((name, labels[name]) for name in _INDEXED if name in labels)
        return [item for item in self._shelf(kind.name, namespace).marked(*marks) if _has(item, labels)]

    def _shelf(self, kind: str, namespace: str) -> _Shelf:
        return self._shelves.get((kind, namespace)) or _Shelf()

    def answered(self, inquiry: Inquiry, answer: Answer) -> bool:
        """Remember an answer; whether it is a new one."""
        changed = inquiry not in self._answers or self._answers[inquiry] != answer
        self._answers[inquiry] = answer
        return changed

    def answer(self, inquiry: Inquiry) -> Answer:
        """The last answer (see `inquiry.ANSWERS`); None while there is none."""
        return self._answers.get(inquiry)

    def forget(self, inquiry: Inquiry) -> None:
        """Nobody asks this any more."""
        self._answers.pop(inquiry, None)


def _trimmed(item: Object) -> Object:
    """The object without what no decision reads."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in _DROPPED}
    return {**item, "metadata": metadata} | ({"spec": _trimmed_spec(item)} if "spec" in item else {})


def _trimmed_spec(item: Object) -> Object:
    spec: Object = item["spec"]
    if item["kind"] == POD.name:
        return {name: value for name, value in spec.items() if name in _KEPT_OF_PODS}
    if item["kind"] == JOB.name and is_over(item):
        begins = spec.get("template", {}).get("spec", {}).get("initContainers") or ()
        names = [{"name": container["name"]} for container in begins]
        kept = {name: value for name, value in spec.items() if name in _KEPT_OF_ENDED_JOBS}
        return {**kept, "template": {"spec": {"initContainers": names}}}
    return spec


def _shared(value: Any) -> Any:
    """The same with short texts that all objects share: each answer of the API server brings its own."""
    if isinstance(value, dict):
        return {intern(name): _shared(entry) for name, entry in value.items()}
    if isinstance(value, str):
        return intern(value) if len(value) <= _LONGEST_SHARED else value
    return [_shared(entry) for entry in value] if isinstance(value, list) else value


def _marks(item: Object) -> Iterator[_Mark]:
    labels = item["metadata"].get("labels") or {}
    yield from ((name, labels[name]) for name in _INDEXED if name in labels)
    controller = controller_of(item)
    if controller is not None:
        yield _OWNER, controller["uid"]
    if item["kind"] == BENCHMARK_RUN.name and not is_finished(item):
        yield from ((_USES, name) for name in uses(item))


def _is_older(item: Object, *, than: Object) -> bool:
    """By resource versions, which may be compared as numbers (https://kep.k8s.io/5504)."""
    new, old = item["metadata"], than["metadata"]
    if new.get("uid") != old.get("uid"):
        return False
    return _version(item) < _version(than)


def _version(item: Object) -> int:
    return int(item["metadata"].get("resourceVersion") or 0)


def _has(item: Object, wanted: Mapping[str, str]) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in wanted.items())
