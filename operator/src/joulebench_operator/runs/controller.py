"""Decides about BenchmarkRuns."""

from joulebench_api.conditions import ConditionType
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator.decision import Context, Decision, Wanted
from joulebench_operator.inquiry import Inquiry
from joulebench_operator.kinds import BENCHMARK_RUN, Kind
from joulebench_operator.objects import Object
from joulebench_operator.runs import attempts, jobs_seen, limits, recorded
from joulebench_operator.runs.attempts import Attempt
from joulebench_operator.runs.children import children, everything
from joulebench_operator.runs.conditions import bounded, conditions, standing
from joulebench_operator.runs.headline import Headline, Mood
from joulebench_operator.runs.latch import latched, remains, ttl_seconds, without_conditions
from joulebench_operator.runs.located import inquiry_of
from joulebench_operator.runs.refusal import RefusedRunError
from joulebench_operator.runs.situation import Situation, look
from joulebench_operator.runs.status import status

_PROGRESS = ("progress",)


class RunController:
    """The controller of BenchmarkRuns."""

    @property
    def kind(self) -> Kind:
        """BenchmarkRun."""
        return BENCHMARK_RUN

    def decide(self, item: Object, context: Context) -> Decision:
        """What is to be for a run that is not being deleted."""
        attempt = attempts.current(item, recorded.of(item))
        ended = latched(item, attempt, context)
        if ended is not None:
            return ended
        try:
            seen = look(item, attempt, context)
        except RefusedRunError as refusal:
            return _refused(item, attempt, refusal, context)
        return _ended(seen) if seen.ended is not None else _on(seen)


def _refused(item: Object, attempt: Attempt, refusal: RefusedRunError, context: Context) -> Decision:
    """Nothing is made, and nothing that is there is touched: another configuration may allow the run again."""
    first = Headline(refusal.reason, str(refusal), Mood.STALLED)
    wanted = (
        *standing(first, None),
        Wanted(ConditionType.VALIDATED, ConditionStatus.FALSE, refusal.reason, str(refusal)),
    )
    entry = attempts.entry(attempt, reason=refusal.reason, now=context.now, is_over=False)
    known = {
        "startTime": attempts.start_time(attempt, now=context.now),
        "attempts": attempts.listed(attempt, entry, now=context.now),
    }
    return Decision(
        children=everything(item, context),
        conditions=bounded(wanted),
        status={**without_conditions(attempt.recorded), **known},
    )


def _on(seen: Situation) -> Decision:
    words = seen.last_words
    return Decision(
        children=children(seen),
        conditions=conditions(seen, words),
        status=status(seen, words),
        progress=_PROGRESS,
        inquiries=_inquiries(seen),
        again_after_seconds=_again_after_seconds(seen),
    )


def _ended(seen: Situation) -> Decision:
    words = seen.last_words
    left, kept = remains(seen.item, seen.context, left=ttl_seconds(seen.item))
    return Decision(
        children=kept,
        conditions=conditions(seen, words),
        status=status(seen, words),
        progress=_PROGRESS,
        again_after_seconds=left,
    )


def _inquiries(seen: Situation) -> tuple[Inquiry, ...]:
    pods = (inquiry_of(server, namespace=seen.namespace) for server in seen.servers)
    return tuple(inquiry for inquiry in (*pods, *seen.runner.inquiries, seen.log) if inquiry is not None)


def _again_after_seconds(seen: Situation) -> float | None:
    """When a time limit is over, or the last words of a pod are no longer waited for."""
    jobs = [job for job in (seen.preflight_job, seen.runner.job) if job is not None]
    if any(map(jobs_seen.is_over, jobs)) and seen.stage is not None and not seen.verdict.passed:
        return jobs_seen.PODS_LAG.total_seconds()
    if seen.runner.job is not None and jobs_seen.is_over(seen.runner.job):
        return jobs_seen.PODS_LAG.total_seconds()
    if seen.stage is None:
        return None
    left = limits.left_seconds(seen.stage, seen.attempt.recorded, seen.run.spec, now=seen.context.now)
    return None if left is None else max(1.0, left)
