"""Who needs a server: what wakes one with `activation: OnDemand`."""

from joulebench_api.conditions import ConditionType
from joulebench_operator.cache import Cache
from joulebench_operator.objects import Object


def is_needed(server: Object, cache: Cache) -> bool:
    """Whether some run of the namespace waits for the server or asks it, as model, judge or submodel.

    A run that preflight has not found good does not count, since nothing takes an accelerator before; nor does one
    that is suspended, has ended, or is being deleted.
    """
    metadata = server["metadata"]
    return any(map(_is_active, cache.runs_on([metadata["name"]], metadata["namespace"])))


def _is_active(run: Object) -> bool:
    if run["metadata"].get("deletionTimestamp") is not None or run["spec"].get("suspend"):
        return False
    conditions = {entry["type"]: entry["status"] for entry in (run.get("status") or {}).get("conditions") or ()}
    ended = conditions.get(ConditionType.FINISHED) == "True"
    return conditions.get(ConditionType.VALIDATED) == "True" and not ended
