"""Is an object still as it was applied? What others may add (defaults, sidecars, a status) is no drift."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from joulebench_operator.objects import Object, intent_of

_COMPARED: Final = frozenset({"spec", "data", "binaryData", "immutable"})
_NAMED_BY: Final = ("name", "containerPort", "port", "mountPath", "key")
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_FACTORS: Final[Mapping[str | None, Decimal]] = {
    "m": Decimal("0.001"),
    None: Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", start=1)},
}


def is_as_applied(intended: Object, observed: Object) -> bool:
    """Whether `observed` bears the intent's hash and still holds everything that was intended."""
    if intent_of(intended) != intent_of(observed):
        return False
    labels = intended["metadata"].get("labels") or {}
    fields = {name: value for name, value in intended.items() if name in _COMPARED}
    return holds(fields, observed) and holds(labels, observed["metadata"].get("labels") or {})


def holds(intended: Any, observed: Any) -> bool:
    """Whether everything intended is there. Nothing (null, empty, 0, false) is as good as absent."""
    if isinstance(intended, Mapping):
        if not isinstance(observed, Mapping):
            return not intended and observed is None
        return all(holds(value, observed.get(name)) for name, value in intended.items())
    if isinstance(intended, list | tuple):
        return _holds_all(intended, observed or [])
    if observed is None:
        return not intended
    return bool(intended == observed) or _same_quantity(intended, observed)


def _holds_all(intended: Sequence[Any], observed: Any) -> bool:
    if not isinstance(observed, list | tuple):
        return False
    by = _identified_by(intended)
    if by is None:
        return len(intended) == len(observed) and all(map(holds, intended, observed))
    known = {entry.get(by): entry for entry in observed if isinstance(entry, Mapping)}
    return all(entry[by] in known and holds(entry, known[entry[by]]) for entry in intended)


def _identified_by(entries: Sequence[Any]) -> str | None:
    """The field that tells the entries of a list apart, as server-side apply merges such lists."""
    for name in _NAMED_BY:
        found = [entry.get(name) if isinstance(entry, Mapping) else None for entry in entries]
        if found and None not in found and len(set(found)) == len(found):
            return name
    return None


def _same_quantity(left: Any, right: Any) -> bool:
    """The API server writes quantities its own way: `1000m` comes back as `1`, and 1 as `1`."""
    found = [_QUANTITY.fullmatch(str(one)) for one in (left, right)]
    if isinstance(left, bool) or isinstance(right, bool) or None in found:
        return False
    amounts = {Decimal(match[1]) * _FACTORS[match[2]] for match in found if match is not None}
    return len(amounts) == 1
