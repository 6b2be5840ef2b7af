"""A run that has ended stays so, whatever becomes of what it made; a new `rerunToken` alone starts another attempt."""

from collections.abc import Mapping
from typing import Any

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_api.v1alpha1.texts import Duration
from joulebench_operator.decision import Child, Context, Decision, Wanted
from joulebench_operator.objects import Object
from joulebench_operator.runs.attempts import Attempt
from joulebench_operator.runs.children import left_behind
from joulebench_operator.runs.limits import left_to_live_seconds
from joulebench_operator.runs.recorded import Recorded, objects, text, time_of
from joulebench_operator.runs.trouble import reason_of

_MADE_ELSEWHERE = ("conditions", "observedGeneration")


def latched(item: Object, attempt: Attempt, context: Context) -> Decision | None:
    """The decision about an attempt whose end is recorded; None if it is not."""
    if not attempt.recorded.holds(ConditionType.FINISHED):
        return None
    completed = time_of(attempt.recorded.status.get("completionTime"))
    left, children = remains(item, context, left=left_to_live_seconds(ttl_seconds(item), completed, now=context.now))
    return Decision(
        children=children,
        conditions=tuple(recorded_conditions(attempt.recorded)),
        status=without_conditions(attempt.recorded),
        again_after_seconds=left,
    )


def without_conditions(recorded: Recorded) -> Object:
    """The status as it stands, but for what is made elsewhere."""
    return {name: value for name, value in recorded.status.items() if name not in _MADE_ELSEWHERE}


def remains(item: Object, context: Context, *, left: float | None) -> tuple[float | None, tuple[Child, ...]]:
    """What of a run that has ended is kept, and after how many seconds to look again."""
    is_past_ttl = left is not None and left <= 0
    return None if is_past_ttl else left, left_behind(item, context, is_past_ttl=is_past_ttl)


def ttl_seconds(item: Object) -> float | None:
    """`ttlAfterFinished`; None: what it made is kept for ever."""
    written = text((item.get("spec") or {}).get("ttlAfterFinished"))
    try:
        return None if written is None else Duration.parse(written).seconds
    except ValueError:
        return None


def recorded_conditions(recorded: Recorded) -> list[Wanted]:
    """The conditions as they stand. Those that this release does not know are dropped."""
    known = [one for one in objects(recorded.status.get("conditions")) if _is_known(one)]
    return [
        Wanted(
            ConditionType(one["type"]),
            ConditionStatus(one["status"]),
            reason_of(one, otherwise=Reason.RUN_FAILED),
            text(one.get("message")) or "",
        )
        for one in known
    ]


def _is_known(condition: Mapping[str, Any]) -> bool:
    return condition.get("type") in set(ConditionType) and condition.get("status") in set(ConditionStatus)
