"""Runs on one ModelServer take turns, unless all of them share it: who runs already, then the oldest, goes first."""

from dataclasses import dataclass
from operator import itemgetter

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.server_source import Access
from joulebench_operator.cache import Cache
from joulebench_operator.kinds import JOB, Key
from joulebench_operator.objects import Object, is_owned_by
from joulebench_operator.runs import attempts, jobs_seen, recorded
from joulebench_operator.runs.names import Names
from joulebench_operator.runs.uses import uses


@dataclass(frozen=True)
class Busy:
    """A server that is another run's for now."""

    server: str
    run: str


def busy(item: Object, cache: Cache) -> Busy | None:
    """The first server that the run must wait for; None when it is its turn on all of them."""
    wanted = uses(item)
    if not wanted:
        return None
    own = _place(item, cache)
    there = cache.runs_on(wanted, item["metadata"]["namespace"])
    places = ((_place(run, cache), run) for run in there if not _is_same(run, item))
    ahead = [(place, run) for place, run in places if place < own and _competes(run, has_runner=not place[0])]
    for _, other in sorted(ahead, key=itemgetter(0)):
        for server, access in uses(other).items():
            if server in wanted and Access.EXCLUSIVE in (access, wanted[server]):
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


def _is_same(run: Object, item: Object) -> bool:
    same: bool = run["metadata"].get("uid") == item["metadata"].get("uid")
    return same


def _competes(other: Object, *, has_runner: bool) -> bool:
    """Whether another run is on, or will be without anybody's doing: one that is stuck keeps nobody waiting."""
    if "deletionTimestamp" in other["metadata"]:
        return False
    status = attempts.current(other, recorded.of(other)).recorded
    if status.holds(ConditionType.FINISHED) or (other.get("spec") or {}).get("suspend"):
        return False
    lacks_a_server = status.condition(ConditionType.READY).get("reason") == Reason.SERVER_NOT_FOUND
    return has_runner or not (lacks_a_server or status.holds(ConditionType.STALLED))
