"""Events on transitions: what `kubectl describe` shows of an object's life. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from joulebench_api.conditions import ConditionType
from joulebench_api.contracts.termination import cut
from joulebench_operator.kinds import EVENT
from joulebench_operator.objects import Object, digest
from joulebench_operator.settling import condition_of

_NOTE_LENGTH: Final = 1024
_CONTROLLER: Final = "joulebench.dev/operator"


def transition(
    item: Object, before: Mapping[str, Any], after: Mapping[str, Any], *, now: datetime, by: str
) -> Object | None:
    """The event that tells that the reason of Ready has changed; None if it has not."""
    old, new = condition_of(before, ConditionType.READY), condition_of(after, ConditionType.READY)
    if new is None or (old is not None and old["reason"] == new["reason"]):
        return None
    stalled = condition_of(after, ConditionType.STALLED) is not None
    moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    metadata = item["metadata"]
    mark = digest([metadata["uid"], new["reason"], moment])
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.name,
        "metadata": {"name": f"{metadata['name']}.{mark}", "namespace": metadata["namespace"]},
        "eventTime": moment,
        "type": "Warning" if stalled else "Normal",
        "reason": new["reason"],
        "action": "Reconcile",
        "note": cut(new["message"] or new["reason"], _NOTE_LENGTH),
        "regarding": {
            "apiVersion": item["apiVersion"],
            "kind": item["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reportingController": _CONTROLLER,
        "reportingInstance": by,
    }
