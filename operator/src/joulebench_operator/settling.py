"""A decision's conditions and figures as the status that is written."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from joulebench_api.conditions import ConditionType
from joulebench_api.contracts.termination import cut
from joulebench_api.v1alpha1.status import MESSAGE_LENGTH
from joulebench_operator.decision import Decision, Wanted
from joulebench_operator.objects import Object

_CONDITIONS: Final = "conditions"


def settled(item: Object, decision: Decision, *, now: datetime) -> Object:
    """The whole status of an object after a decision, as plain JSON: what the API server will show."""
    generation = item["metadata"]["generation"]
    before = item.get("status", {}).get(_CONDITIONS) or ()
    conditions = settled_conditions(before, decision.conditions, generation=generation, now=now)
    own = {name: value for name, value in decision.status.items() if value is not None}
    status: Object = json.loads(
        json.dumps({"observedGeneration": generation, _CONDITIONS: conditions, **_without_nulls(own)})
    )
    return status


def settled_conditions(
    before: Iterable[Mapping[str, Any]], wanted: Iterable[Wanted], *, generation: int, now: datetime
) -> list[Object]:
    """Conditions with their times: `lastTransitionTime` changes with the status alone, as the API conventions say."""
    known = {condition["type"]: condition for condition in before}
    return [_condition(one, known.get(one.type), generation=generation, now=now) for one in wanted]


def _condition(wanted: Wanted, before: Mapping[str, Any] | None, *, generation: int, now: datetime) -> Object:
    stays = before is not None and before["status"] == wanted.status
    return {
        "type": str(wanted.type),
        "status": str(wanted.status),
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before is not None and stays else rfc3339(now),
        "reason": str(wanted.reason),
        "message": cut(wanted.message, MESSAGE_LENGTH),
    }


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition_of(status: Mapping[str, Any], kind: ConditionType) -> Mapping[str, Any] | None:
    """One condition of a status."""
    return next((one for one in status.get(_CONDITIONS) or () if one["type"] == kind), None)


def differs(status: Mapping[str, Any], before: Mapping[str, Any], *, apart_from: Iterable[str] = ()) -> bool:
    """Whether anything but these fields is different."""
    left_out = set(apart_from)

    def rest(one: Mapping[str, Any]) -> Object:
        return {name: value for name, value in one.items() if name not in left_out}

    return rest(status) != rest(before)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(entry) for entry in value]
    return value
