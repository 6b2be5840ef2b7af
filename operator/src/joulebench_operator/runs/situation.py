"""One look at a run: everything that its children and its status follow from."""

from dataclasses import dataclass, replace

from joulebench_api.conditions import Reason
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_operator.decision import Context
from joulebench_operator.inquiry import LastWords
from joulebench_operator.kinds import JOB, POD, Key
from joulebench_operator.names import ATTEMPT_LABEL, FINALISE_PART, PART_LABEL, PREFLIGHT_PART, RUN_LABEL, RUNNER_PART
from joulebench_operator.objects import Object, is_owned_by
from joulebench_operator.runs import jobs_seen, limits
from joulebench_operator.runs.attempts import Attempt
from joulebench_operator.runs.energy import Energy, energy
from joulebench_operator.runs.finalising import NOT_DUE, Finalising, is_due
from joulebench_operator.runs.last_words import last_words
from joulebench_operator.runs.located import Located, located
from joulebench_operator.runs.names import Names
from joulebench_operator.runs.outcome import Outcome, outcome
from joulebench_operator.runs.preflight import Verdict, verdict
from joulebench_operator.runs.resolution import ResolvedRun, resolve
from joulebench_operator.runs.runner import Runner, runner
from joulebench_operator.runs.servers import Server, servers
from joulebench_operator.runs.stages import RunStage, is_open
from joulebench_operator.runs.storage import Storage, storage
from joulebench_operator.runs.trouble import Trouble
from joulebench_operator.runs.turns import Busy, busy
from joulebench_operator.runs.volumes import FINALISE, PREFLIGHT


@dataclass(frozen=True)
class Situation:
    """How an attempt stands. It has not ended yet, unless `ended` says so."""

    item: Object
    context: Context
    attempt: Attempt
    names: Names
    run: ResolvedRun
    storage: Storage
    servers: tuple[Server, ...]
    located: tuple[Located, ...]
    energy: Energy
    busy: Busy | None
    preflight_job: Object | None
    looks_first: bool
    """Whether preflight is an init container of the runner's pod: nothing has to be started for this run."""
    verdict: Verdict
    runner: Runner
    stage: RunStage | None
    ended: Outcome | None
    finalising: Finalising = NOT_DUE
    """Of a run of several shards, what makes the results of all."""
    log: LastWords | None = None
    """What is to be read before the end can be told."""

    @property
    def namespace(self) -> str:
        """The run's."""
        return namespace_of(self.item)

    @property
    def is_suspended(self) -> bool:
        """Whether it is to hold no accelerators for now."""
        return self.run.spec.suspend

    @property
    def missing(self) -> Trouble | None:
        """What is wrong with the first ModelServer that the run names and cannot use."""
        return next((server.trouble for server in self.servers if server.is_missing), None)

    @property
    def last_words(self) -> TerminationMessage | None:
        """What whoever made the results has left: the meter, or of several shards what follows them."""
        if self.run.spec.shards > 1:
            return last_words(self.finalising.job, self.finalising.pods, container=FINALISE)
        return last_words(self.runner.job, self.runner.pods)

    @property
    def time_is_up(self) -> bool:
        """Whether the limit of what is going on is over."""
        if self.stage is None:
            return False
        left = limits.left_seconds(self.stage, self.attempt.recorded, self.run.spec, now=self.context.now)
        return left is not None and left <= 0

    @property
    def servers_are_ready(self) -> bool:
        """Whether all of them answer."""
        return all(server.is_ready for server in self.servers)

    @property
    def waits_for_quota(self) -> bool:
        """Whether Kueue has not given all quota yet."""
        servers_wait = any(server.waits_for_quota for server in self.servers)
        return self.run.spec.queue is not None and (servers_wait or self.runner.waits_for_quota)


def namespace_of(item: Object) -> str:
    """The namespace of an object."""
    found: str = item["metadata"]["namespace"]
    return found


def look(item: Object, attempt: Attempt, context: Context) -> Situation:
    """Everything that is known of a run. Raises RefusedRunError for one that cannot be carried out."""
    run = resolve(item, context)
    namespace = namespace_of(item)
    names = Names(item["metadata"]["name"], attempt.number)
    found = servers(item, run.spec, names, context)
    places = tuple(located(server, context, namespace=namespace) for server in found)
    preflight_job = _own_job(item, names.preflight, context)
    runner_job = _own_job(item, names.runner, context)
    runner_pods = _pods(context, names, namespace, RUNNER_PART)
    # Of several shards not each is to look.
    looks_first = run.spec.shards == 1 and _looks_first(preflight_job, runner_job, found)
    part, job = (RUNNER_PART, runner_job) if looks_first else (PREFLIGHT_PART, preflight_job)
    checked = verdict(attempt, job=job, pods=_pods(context, names, namespace, part), context=context)
    seen = Situation(
        item=item,
        context=context,
        attempt=attempt,
        names=names,
        run=run,
        storage=storage(run.spec, names, namespace=namespace),
        servers=found,
        located=places,
        energy=energy(run, places, context),
        busy=None if _holds(runner_job) else busy(item, context.cache),
        preflight_job=preflight_job,
        looks_first=looks_first,
        verdict=checked,
        runner=runner(runner_job, runner_pods, context.cache),
        stage=None,
        ended=None,
        finalising=Finalising(
            is_due(runner_job, runner_pods, attempt.recorded, shards=run.spec.shards),
            _own_job(item, names.finalise, context),
            tuple(_pods(context, names, namespace, FINALISE_PART)),
        ),
    )
    return _with_end(_with_stage(seen))


def _own_job(item: Object, name: str, context: Context) -> Object | None:
    job = context.cache.get(Key(JOB.name, namespace_of(item), name))
    return job if job is not None and is_owned_by(job, item) else None


def _pods(context: Context, names: Names, namespace: str, part: str) -> list[Object]:
    """The pods of a part of an attempt, the newest first."""
    labels = {RUN_LABEL: names.run, ATTEMPT_LABEL: str(names.attempt), PART_LABEL: part}
    found = context.cache.labelled(POD, namespace, labels)
    return sorted(found, key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)


def _holds(runner_job: Object | None) -> bool:
    """Whether the run has its servers already, or needs them no more: its turn is not taken back."""
    return runner_job is not None and (jobs_seen.is_over(runner_job) or not jobs_seen.is_suspended(runner_job))


def _looks_first(preflight_job: Object | None, runner_job: Object | None, found: tuple[Server, ...]) -> bool:
    """Once preflight has begun it stays where it is."""
    if runner_job is not None:
        begins = runner_job["spec"]["template"]["spec"].get("initContainers") or ()
        return any(container.get("name") == PREFLIGHT for container in begins)
    return preflight_job is None and not any(server.is_made for server in found) and all(s.is_ready for s in found)


def _with_stage(seen: Situation) -> Situation:
    return replace(seen, stage=_stage(seen))


def _stage(seen: Situation) -> RunStage | None:
    """What is going on, told by what is waited for; None while nothing is."""
    if seen.is_suspended or seen.missing is not None:
        return None
    if seen.waits_for_quota:
        return RunStage.QUEUE
    # Where preflight begins the runner's pod, it is on from the moment that this pod is asked for.
    waits = seen.looks_first and seen.runner.job is None and not (seen.busy is None and seen.energy.may_begin)
    if not seen.verdict.passed and not waits:
        return RunStage.PREFLIGHT
    if seen.busy is not None:
        return RunStage.TURN
    return _stage_of_runner(seen)


def _stage_of_runner(seen: Situation) -> RunStage:
    if seen.runner.is_ending or seen.finalising.is_due:
        return RunStage.RESULTS
    if is_open(seen.attempt.recorded, RunStage.RESULTS) and seen.runner.status is None:
        # The meter does not answer while it ends, and then it is gone; the Job tells how in a moment.
        return RunStage.RESULTS
    has_begun = seen.runner.job is not None and is_open(seen.attempt.recorded, RunStage.RUN)
    begins = seen.runner.is_asking or (seen.runner.is_running and seen.servers_are_ready)
    return RunStage.RUN if has_begun or begins else RunStage.SERVER


def _with_end(seen: Situation) -> Situation:
    ended = _refused(seen) or _end_of_runner(seen) or _failed_server(seen) or _too_late(seen)
    if ended is None or ended.log is None:
        return replace(seen, ended=ended)
    lines = seen.context.cache.answer(ended.log)
    if lines is None and _is_fresh(seen):
        return replace(seen, log=ended.log)
    return replace(seen, ended=ended.told_by(lines))


def _is_fresh(seen: Situation) -> bool:
    jobs = [job for job in (seen.preflight_job, seen.runner.job, seen.finalising.job) if job is not None]
    return any(jobs_seen.is_fresh(job, now=seen.context.now) for job in jobs)


def _refused(seen: Situation) -> Outcome | None:
    """Preflight's refusal, once the Job that it ran in is over."""
    job = seen.runner.job if seen.looks_first else seen.preflight_job
    if not seen.verdict.is_final or (job is not None and not jobs_seen.is_over(job)):
        return None
    return Outcome(False, seen.verdict.reason, seen.verdict.message, seen.verdict.log)


def _end_of_runner(seen: Situation) -> Outcome | None:
    if seen.runner.job is None:
        return None
    asked = outcome(
        seen.runner.job,
        jobs_seen.decisive_first(list(seen.runner.pods)),
        never_ready=is_open(seen.attempt.recorded, RunStage.SERVER),
        stored_apart=seen.storage.store_url is not None,
        context=seen.context,
    )
    return _with_results(seen, asked) if asked is not None and seen.finalising.is_due else asked


def _with_results(seen: Situation, asked: Outcome) -> Outcome | None:
    """The end of several shards' run: when the results of all are made, or could not be. Why it failed, they say."""
    if seen.finalising.job is None:
        return None
    made = outcome(
        seen.finalising.job,
        list(seen.finalising.pods),
        never_ready=False,
        stored_apart=seen.storage.store_url is not None,
        context=seen.context,
        container=FINALISE,
    )
    return made if made is None or asked.succeeded else asked


def _failed_server(seen: Situation) -> Outcome | None:
    """A server of the run's own that does not come: its accelerators are of use to others."""
    if seen.is_suspended or seen.runner.is_asking or seen.finalising.is_due:
        return None
    troubles = (server.trouble for server in seen.servers if server.has_failed)
    return next((Outcome(False, found.reason, found.message) for found in troubles if found is not None), None)


def _too_late(seen: Situation) -> Outcome | None:
    """The end by a time limit that the operator keeps. A runner that takes too long is ended by its Job."""
    job_is_over = seen.runner.job is not None and jobs_seen.is_over(seen.runner.job)
    if job_is_over or seen.stage is RunStage.RUN or not seen.time_is_up:
        return None
    if seen.stage is RunStage.QUEUE:
        return Outcome(False, Reason.QUEUE_TIMEOUT, "no quota came within spec.timeouts.queue")
    return _not_ready(seen)


def _not_ready(seen: Situation) -> Outcome:
    """Why no question could be asked when `timeouts.serverReady` was over."""
    limit = f"within spec.timeouts.serverReady ({seen.run.spec.timeouts.server_ready})"
    if seen.servers_are_ready and not seen.energy.may_begin:
        return Outcome(False, seen.energy.condition.reason, f"{seen.energy.condition.message} {limit}")
    if seen.servers_are_ready and seen.runner.trouble is not None:
        return Outcome(False, seen.runner.trouble.reason, seen.runner.trouble.message)
    said = [server.trouble.message for server in seen.servers if server.trouble is not None]
    return Outcome(False, Reason.SERVER_READY_TIMEOUT, "; ".join([f"the servers were not ready {limit}", *said]))
