"""Who needs a server: what wakes one with `activation: OnDemand`."""

from collections.abc import Iterator

from joulebench_api.conditions import ConditionType
from joulebench_operator.cache import Cache
from joulebench_operator.kinds import BENCHMARK_RUN
from joulebench_operator.objects import Object


def is_needed(server: Object, cache: Cache) -> bool:
    """Whether some run of the namespace waits for the server or asks it, as model, judge or submodel.

    A run that preflight has not found good does not count, since nothing takes an accelerator before; nor does one
    that is suspended, has ended, or is being deleted.
    """
    metadata = server["metadata"]
    runs = cache.all(BENCHMARK_RUN, metadata["namespace"])
    return any(_is_active(run) and metadata["name"] in referenced(run) for run in runs)


def referenced(run: Object) -> Iterator[str]:
    """The ModelServers that a run names."""
    for source in _sources(run["spec"]):
        name = ((source or {}).get("modelServerRef") or {}).get("name")
        if name is not None:
            yield name


def _sources(spec: Object) -> Iterator[Object | None]:
    yield spec.get("server")
    yield (spec.get("judge") or {}).get("server")
    yield from (submodel.get("server") for submodel in spec.get("submodels") or ())


def _is_active(run: Object) -> bool:
    if run["metadata"].get("deletionTimestamp") is not None or run["spec"].get("suspend"):
        return False
    conditions = {entry["type"]: entry["status"] for entry in (run.get("status") or {}).get("conditions") or ()}
    ended = conditions.get(ConditionType.FINISHED) == "True"
    return conditions.get(ConditionType.VALIDATED) == "True" and not ended
