"""What preflight said: nothing takes an accelerator before it is good."""

from dataclasses import dataclass

from pydantic import ValidationError

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.preflight import PreflightReport
from joulebench_api.problems import shown
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator.decision import Context, Wanted
from joulebench_operator.inquiry import LastWords
from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen, trouble
from joulebench_operator.runs.attempts import Attempt
from joulebench_operator.runs.recorded import text
from joulebench_operator.runs.trouble import Trouble
from joulebench_operator.runs.volumes import FETCH, PREFLIGHT


@dataclass(frozen=True)
class Verdict:
    """The condition Validated, and what follows from it."""

    status: ConditionStatus
    reason: Reason
    message: str
    is_final: bool = False
    """Whether the attempt is over with it, unless a retry of the Job finds better."""
    needs_somebody: bool = False
    task: ResolvedTask | None = None
    log: LastWords | None = None
    """What may tell more, where there is no report."""

    @property
    def condition(self) -> Wanted:
        """As the status says it."""
        return Wanted(ConditionType.VALIDATED, self.status, self.reason, self.message)

    @property
    def passed(self) -> bool:
        """Whether accelerators may be taken."""
        return self.status is ConditionStatus.TRUE


_NO_TROUBLE = (Reason.PENDING, Reason.VALIDATING, Reason.PREFLIGHT_FAILED)
_LOOKING = Verdict(
    ConditionStatus.UNKNOWN, Reason.VALIDATING, "preflight looks at task, data, keys, store and endpoints"
)


def verdict(attempt: Attempt, *, job: Object | None, pods: list[Object], context: Context) -> Verdict:
    """What is known. `job` and `pods` (the newest first) are those that preflight runs in: its own, or the runner's."""
    if attempt.recorded.holds(ConditionType.VALIDATED):
        return Verdict(ConditionStatus.TRUE, Reason.PREFLIGHT_PASSED, _recorded_message(attempt))
    is_over = job is not None and jobs_seen.is_over(job)
    if job is not None and is_over and jobs_seen.may_tell_more(job, pods, PREFLIGHT, now=context.now):
        return _LOOKING
    told = next((report for pod in pods if (report := _report(pod, PREFLIGHT)) is not None), None)
    if told is not None:
        return _of_report(told)
    return _without_report(attempt, job, pods) if job is not None and is_over else _of_pods(pods)


def _of_pods(pods: list[Object]) -> Verdict:
    """What a pod that has not ended says."""
    stuck = next(filter(None, map(trouble.of_pod, pods[:1])), None)
    if stuck is None:
        return _LOOKING
    status = ConditionStatus.FALSE if stuck.needs_somebody else ConditionStatus.UNKNOWN
    return Verdict(status, stuck.reason, stuck.message, needs_somebody=stuck.needs_somebody)


def _recorded_message(attempt: Attempt) -> str:
    return text(attempt.recorded.condition(ConditionType.VALIDATED).get("message")) or ""


def _report(pod: Object, container: str) -> PreflightReport | None:
    return read(jobs_seen.message(pod, container))


def fetch_report(pod: Object) -> PreflightReport | None:
    """What the init container `fetch` found, if it failed."""
    return _report(pod, FETCH)


def read(message: str | None) -> PreflightReport | None:
    """A termination message as preflight writes it; None for any other text."""
    try:
        return None if message is None else PreflightReport.model_validate_json(message)
    except ValidationError:
        return None


def _of_report(report: PreflightReport) -> Verdict:
    if report.passed:
        return Verdict(ConditionStatus.TRUE, Reason.PREFLIGHT_PASSED, _good(report), task=report.task)
    found = finding(report)
    return Verdict(ConditionStatus.FALSE, found.reason, found.message, is_final=True, task=report.task)


def _good(report: PreflightReport) -> str:
    task = report.task
    return "" if task is None else f"{task.name}: {task.records * task.epochs} questions, revision {task.revision}"


def finding(report: PreflightReport) -> Trouble:
    """The first finding as one sentence: field, value, what is wrong, what to do, and how many more there are."""
    first = report.findings[0]
    value = "" if first.value is None else f" {shown(first.value)}:"
    remedy = "" if first.remedy is None else f"; {first.remedy}"
    more = len(report.findings) - 1 + report.more_findings
    rest = f" (and {more} more; see the log of preflight)" if more else ""
    return Trouble(first.reason, f"{first.field}:{value} {first.message}{remedy}{rest}", needs_somebody=True)


def _without_report(attempt: Attempt, job: Object, pods: list[Object]) -> Verdict:
    before = attempt.recorded.condition(ConditionType.VALIDATED)
    reason = trouble.reason_of(before, otherwise=Reason.PENDING)
    if reason not in _NO_TROUBLE:
        return Verdict(ConditionStatus.FALSE, reason, text(before.get("message")) or "", is_final=True)
    message = f"preflight ended without a report; see the log of {_place(job, pods)}"
    log = jobs_seen.log_of(pods, PREFLIGHT)
    return Verdict(ConditionStatus.FALSE, Reason.PREFLIGHT_FAILED, message, is_final=True, log=log)


def _place(job: Object, pods: list[Object]) -> str:
    return f"pod {pods[0]['metadata']['name']}" if pods else f"Job {job['metadata']['name']}"
