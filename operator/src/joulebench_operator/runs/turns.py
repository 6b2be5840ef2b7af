"""Runs on one ModelServer take turns, unless all of them share it: who runs already, then the oldest, goes first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.server_source import Access
from joulebench_operator.cache import Cache
from joulebench_operator.kinds import BENCHMARK_RUN, JOB, Key
from joulebench_operator.objects import Object, is_owned_by
from joulebench_operator.runs import attempts, jobs_seen, recorded
from joulebench_operator.runs.names import Names
from joulebench_operator.runs.recorded import objects


@dataclass(frozen=True)
class Busy:
    """A server that is another run's for now."""

    server: str
    run: str


def busy(item: Object, cache: Cache) -> Busy | None:
    """The first server that the run must wait for; None when it is its turn on all of them."""
    uses = _uses(item)
    if not uses:
        return None
    own = _place(item, cache)
    there = cache.all(BENCHMARK_RUN, item["metadata"]["namespace"])
    others = [run for run in there if uses.keys() & _uses(run).keys() and _competes(run, item, cache)]
    ahead = sorted((other for other in others if _place(other, cache) < own), key=lambda run: _place(run, cache))
    for other in ahead:
        for server, access in _uses(other).items():
            if server in uses and Access.EXCLUSIVE in (access, uses[server]):
                return Busy(server, other["metadata"]["name"])
    return None


def _place(run: Object, cache: Cache) -> tuple[bool, str, str]:
    metadata = run["metadata"]
    return (not _has_runner(run, cache), metadata.get("creationTimestamp") or "", metadata["name"])


def _has_runner(run: Object, cache: Cache) -> bool:
    """Whether its runner's Job is there and not over: then the servers are its own."""
    number = attempts.current(run, recorded.of(run)).number
    names = Names(run["metadata"]["name"], number)
    job = cache.get(Key(JOB.name, run["metadata"]["namespace"], names.runner))
    return job is not None and is_owned_by(job, run) and not jobs_seen.is_over(job)


def _competes(other: Object, item: Object, cache: Cache) -> bool:
    """Whether another run is on, or will be without anybody's doing: one that is stuck keeps nobody waiting."""
    if other["metadata"].get("uid") == item["metadata"].get("uid") or "deletionTimestamp" in other["metadata"]:
        return False
    status = attempts.current(other, recorded.of(other)).recorded
    if status.holds(ConditionType.FINISHED) or (other.get("spec") or {}).get("suspend"):
        return False
    lacks_a_server = status.condition(ConditionType.READY).get("reason") == Reason.SERVER_NOT_FOUND
    return _has_runner(other, cache) or not (lacks_a_server or status.holds(ConditionType.STALLED))


def _uses(run: Object) -> dict[str, Access]:
    """The ModelServers that a run names, and how it wants them."""
    spec = run.get("spec") or {}
    sources = [spec.get("server"), (spec.get("judge") or {}).get("server")]
    sources += [submodel.get("server") for submodel in objects(spec.get("submodels"))]
    wanted: dict[str, Access] = {}
    for source in sources:
        name = _named(source or {})
        if name is not None:
            shares = (source or {}).get("access") == Access.SHARED and wanted.get(name) is not Access.EXCLUSIVE
            wanted[name] = Access.SHARED if shares else Access.EXCLUSIVE
    return wanted


def _named(source: Mapping[str, Any]) -> str | None:
    reference = source.get("modelServerRef")
    return reference.get("name") if isinstance(reference, Mapping) else None
