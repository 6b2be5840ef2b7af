"""Which objects are to exist for a run."""

from collections.abc import Iterator

from joulebench_operator.decision import Child, Context
from joulebench_operator.kinds import CLAIM, CONFIG_MAP, JOB, MODEL_SERVER, Key, Kind
from joulebench_operator.names import PART_LABEL, PREFLIGHT_PART
from joulebench_operator.objects import Object, is_owned_by, key_of
from joulebench_operator.runs import assignment, jobs, jobs_seen, servers, topology
from joulebench_operator.runs.assignment import follows_exporters, has_topology
from joulebench_operator.runs.jobs import held, kept
from joulebench_operator.runs.pods import PodPlan
from joulebench_operator.runs.situation import Situation, namespace_of
from joulebench_operator.runs.stages import RunStage
from joulebench_operator.runs.storage import claim


def children(seen: Situation) -> tuple[Child, ...]:
    """The children of an attempt that is on. One that is being deleted is waited for, and then made anew."""
    if seen.missing is not None:
        return everything(seen.item, seen.context)
    wanted = _suspended(seen) if seen.is_suspended else _active(seen)
    return tuple(child for child in wanted if not _is_leaving(child, seen.context))


def _is_leaving(child: Child, context: Context) -> bool:
    found = context.cache.get(key_of(child.body))
    return found is not None and "deletionTimestamp" in found["metadata"]


def _staying(kind: Kind, item: Object, context: Context) -> list[Object]:
    """What the run has of a kind and nobody deletes."""
    return [found for found in context.cache.owned(kind, item) if "deletionTimestamp" not in found["metadata"]]


def everything(item: Object, context: Context) -> tuple[Child, ...]:
    """All that is there stays as it is."""
    kinds = (CLAIM, CONFIG_MAP, JOB, MODEL_SERVER)
    return tuple(kept(found) for kind in kinds for found in _staying(kind, item, context))


def left_behind(item: Object, context: Context, *, is_past_ttl: bool) -> tuple[Child, ...]:
    """What stays of a run that has ended: nothing that holds an accelerator, and nothing that is not there."""
    claims = _staying(CLAIM, item, context)
    maps = [] if is_past_ttl else _staying(CONFIG_MAP, item, context)
    ended = [] if is_past_ttl else [job for job in _staying(JOB, item, context) if _may_stay(job)]
    return tuple(map(kept, (*claims, *maps, *ended)))


def _may_stay(job: Object) -> bool:
    """A runner that still runs is ended by being removed."""
    return jobs_seen.is_over(job) or (job["metadata"].get("labels") or {}).get(PART_LABEL) == PREFLIGHT_PART


def _suspended(seen: Situation) -> Iterator[Child]:
    """No servers and no pods of the runner; what was answered lies in the results' claim or store."""
    for kind in (CLAIM, CONFIG_MAP):
        yield from map(kept, seen.context.cache.owned(kind, seen.item))
    if seen.preflight_job is not None:
        yield kept(seen.preflight_job)
    # A Job that is Kueue's to hold back would be started again by it, so that one is removed and made anew.
    if seen.finalising.job is not None:
        yield kept(seen.finalising.job)
    if seen.runner.job is not None and seen.run.spec.queue is None:
        yield held(seen.runner.job, suspend=True)


def _active(seen: Situation) -> Iterator[Child]:
    plan = pod_plan(seen)
    yield from _results_claim(seen)
    yield _existing(seen, CONFIG_MAP.name, seen.names.assignment) or assignment.child(
        seen.run, seen.servers, seen.storage, seen.names, uid=seen.item["metadata"]["uid"], context=seen.context
    )
    if seen.preflight_job is not None:
        yield kept(seen.preflight_job)
    elif not seen.looks_first and not seen.verdict.passed:
        yield jobs.preflight(plan, namespace=seen.namespace)
    if seen.verdict.passed and seen.busy is None:
        yield from _made_servers(seen)
    yield from _runner(seen, plan)
    if seen.finalising.job is not None:
        yield kept(seen.finalising.job)
    elif seen.finalising.is_due:
        yield jobs.finalise(plan, namespace=seen.namespace)


def pod_plan(seen: Situation) -> PodPlan:
    """What the pods are made of."""
    asks = follows_exporters(seen.run, seen.servers, seen.context)
    audience = seen.context.settings.exporter_audience if asks else None
    return PodPlan(seen.run, seen.names, seen.servers, seen.storage, audience)


def _results_claim(seen: Situation) -> Iterator[Child]:
    found = _existing(seen, CLAIM.name, seen.names.results)
    if found is not None:
        yield found
    elif seen.storage.template is not None:
        yield claim(seen.storage.template, seen.names, namespace=seen.namespace)


def _made_servers(seen: Situation) -> Iterator[Child]:
    for server in seen.servers:
        if server.is_made:
            yield servers.child(server, seen.item, queue=seen.run.spec.queue)


def _runner(seen: Situation, plan: PodPlan) -> Iterator[Child]:
    may_begin = (seen.verdict.passed or seen.looks_first) and seen.busy is None and seen.energy.may_begin
    if seen.runner.job is None and not may_begin:
        return
    if has_topology(seen.servers):
        previous = seen.context.cache.get(Key(CONFIG_MAP.name, seen.namespace, seen.names.topology))
        yield topology.child(seen.located, seen.names, namespace=seen.namespace, previous=previous, ours=seen.context)
    if seen.runner.job is not None and seen.stage is RunStage.RUN and seen.time_is_up:
        yield jobs.overdue(seen.runner.job)
    elif seen.runner.job is not None:
        # One that was held back goes on only when it may; one that runs is let run.
        yield held(seen.runner.job, suspend=jobs_seen.is_suspended(seen.runner.job) and not may_begin)
    else:
        yield jobs.runner(plan, namespace=seen.namespace, looks_first=seen.looks_first and not seen.verdict.passed)


def _existing(seen: Situation, kind: str, name: str) -> Child | None:
    found = seen.context.cache.get(Key(kind, namespace_of(seen.item), name))
    return kept(found) if found is not None and is_owned_by(found, seen.item) else None
