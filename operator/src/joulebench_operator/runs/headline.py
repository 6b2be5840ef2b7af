"""What a run's status says first: where it stands, and whether it goes on by itself."""

from dataclasses import dataclass
from enum import Enum, auto

from joulebench_api.conditions import ConditionType, Reason
from joulebench_operator.runs import jobs_seen, recorded
from joulebench_operator.runs.servers import Server
from joulebench_operator.runs.situation import Situation
from joulebench_operator.runs.stages import RunStage
from joulebench_operator.runs.trouble import Trouble, of_pod, reason_of


class Mood(Enum):
    """Whether it goes on."""

    RECONCILING = auto()
    STALLED = auto()
    RESTING = auto()
    """It neither goes on nor is anything wrong."""


@dataclass(frozen=True)
class Headline:
    """The reason of `Ready`, and what is behind it."""

    reason: Reason
    message: str
    mood: Mood = Mood.RECONCILING


def headline(seen: Situation) -> Headline:
    """The one thing to know about an attempt."""
    if seen.ended is not None:
        mood = Mood.RESTING if seen.ended.succeeded else Mood.STALLED
        return Headline(seen.ended.reason, seen.ended.message, mood)
    if seen.is_suspended:
        return Headline(Reason.SUSPENDED, "spec.suspend is true", Mood.RESTING)
    if seen.missing is not None:
        return _of_trouble(seen.missing)
    return _before_servers(seen) or _before_questions(seen) or _asking(seen)


def _of_trouble(trouble: Trouble) -> Headline:
    return Headline(trouble.reason, trouble.message, Mood.STALLED if trouble.needs_somebody else Mood.RECONCILING)


def _before_servers(seen: Situation) -> Headline | None:
    """What is waited for before anything may take an accelerator."""
    if seen.verdict.needs_somebody:
        return Headline(seen.verdict.reason, seen.verdict.message, Mood.STALLED)
    if not seen.verdict.passed and not seen.looks_first:
        return Headline(seen.verdict.reason, seen.verdict.message)
    if seen.busy is not None:
        message = f"BenchmarkRun {seen.busy.run} has the ModelServer {seen.busy.server}"
        return Headline(Reason.SERVER_BUSY, message)
    if seen.waits_for_quota:
        return Headline(Reason.WAITING_FOR_QUOTA, "Kueue has not given the quota yet")
    return None


def _before_questions(seen: Situation) -> Headline | None:
    """What the servers, the exporters and the runner's pod are waited for."""
    if seen.finalising.is_due:
        return _finalising(seen)
    if seen.runner.is_asking:
        return None
    waits = next((server for server in seen.servers if not server.is_ready), None)
    if waits is not None:
        return _of_trouble(waits.trouble) if waits.trouble is not None else _waiting(waits)
    if seen.runner.job is None and not seen.energy.may_begin:
        return Headline(seen.energy.condition.reason, seen.energy.condition.message)
    if seen.runner.trouble is not None:
        return _of_trouble(seen.runner.trouble)
    return None if seen.verdict.passed else Headline(seen.verdict.reason, seen.verdict.message)


def _finalising(seen: Situation) -> Headline:
    stuck = next(filter(None, map(of_pod, seen.finalising.pods[:1])), None)
    if stuck is not None:
        return _of_trouble(stuck)
    return Headline(Reason.STORING_RESULTS, "all shards have ended; results are made of their journals")


def _waiting(server: Server) -> Headline:
    return Headline(Reason.WAITING_FOR_SERVER, waiting_message(server))


def waiting_message(server: Server) -> str:
    """Which server is not ready. How far it is, its own status says: copied, each step would be written twice."""
    ready = recorded.of(server.item or {}).condition(ConditionType.READY)
    return f"ModelServer {server.name} is not ready: {reason_of(ready, otherwise=Reason.STARTING)}"


def _asking(seen: Situation) -> Headline:
    job, alias = seen.runner.job, seen.servers[0]
    over = job is not None and jobs_seen.is_over(job)
    if over or seen.runner.is_given_up(retry_limit=seen.run.spec.retry_limit):
        return Headline(Reason.STORING_RESULTS, "the runner has ended; its last words are waited for")
    if seen.stage is RunStage.RESULTS and not seen.runner.has_failed:
        return Headline(Reason.STORING_RESULTS, "all is asked; results are being written")
    # One that has ended well says no more until its Job has: it would be written for a second.
    if seen.runner.is_running or seen.runner.has_ended_well:
        return Headline(Reason.RUNNING, f"questions are asked of {_name(alias)}")
    if seen.runner.failures:
        return Headline(
            Reason.RETRYING, f"{seen.runner.failures} of the runner's pods failed; what is answered is kept"
        )
    return Headline(Reason.STARTING, "the runner's pod starts")


def _name(server: Server) -> str:
    external = server.party.source.external
    return f"ModelServer {server.name}" if external is None else external.url
