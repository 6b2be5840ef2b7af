"""The operator's picture of the cluster: what the watches last said, and what was answered. Plain memory, no I/O."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from joulebench_operator.inquiry import Answer, Inquiry
from joulebench_operator.kinds import Key, Kind
from joulebench_operator.objects import Object, is_owned_by, key_of

_DROPPED = ("managedFields",)


class Cache:
    """Objects by kind, namespace and name. What decisions read of it is the class's whole public side but `put`,
    `remove` and `answered`, which belong to the edge.
    """

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], dict[str, Object]] = defaultdict(dict)
        self._answers: dict[Inquiry, Answer] = {}

    def put(self, item: Object) -> None:
        """Remember an object as it is now. An older state than the known one (a watch that lags behind our own write)
        changes nothing.
        """
        key = key_of(item)
        known = self._objects[key.kind, key.namespace].get(key.name)
        if known is not None and _is_older(item, than=known):
            return
        metadata = {name: value for name, value in item["metadata"].items() if name not in _DROPPED}
        self._objects[key.kind, key.namespace][key.name] = {**item, "metadata": metadata}

    def remove(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._objects[key.kind, key.namespace].pop(key.name, None)

    def get(self, key: Key) -> Object | None:
        """One object; None if it is not there."""
        return self._objects.get((key.kind, key.namespace), {}).get(key.name)

    def all(self, kind: Kind, namespace: str) -> list[Object]:
        """All objects of a kind in a namespace, by name."""
        found = self._objects.get((kind.name, namespace), {})
        return [found[name] for name in sorted(found)]

    def everywhere(self, kind: Kind) -> Iterator[Object]:
        """All objects of a kind in all namespaces."""
        for (name, _), found in sorted(self._objects.items()):
            if name == kind.name:
                yield from found.values()

    def owned(self, kind: Kind, owner: Object) -> list[Object]:
        """The objects of a kind that `owner` controls."""
        return [item for item in self.all(kind, owner["metadata"]["namespace"]) if is_owned_by(item, owner)]

    def labelled(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """The objects of a kind in a namespace that have all these labels."""
        return [item for item in self.all(kind, namespace) if _has(item, labels)]

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


def _is_older(item: Object, *, than: Object) -> bool:
    """By resource versions, which may be compared as numbers (https://kep.k8s.io/5504)."""
    new, old = item["metadata"], than["metadata"]
    if new.get("uid") != old.get("uid"):
        return False
    return int(new.get("resourceVersion") or 0) < int(old.get("resourceVersion") or 0)


def _has(item: Object, wanted: Mapping[str, str]) -> bool:
    labels = item["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in wanted.items())
