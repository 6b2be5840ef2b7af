"""How an attempt ended: from the runner's Job, its pods and the meter's last words."""

from dataclasses import dataclass, replace
from typing import Final

from joulebench_api.conditions import Reason
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_operator.decision import Context
from joulebench_operator.inquiry import LastWords
from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen, preflight
from joulebench_operator.runs.last_words import has_no_joules, last_words
from joulebench_operator.runs.trouble import Trouble
from joulebench_operator.runs.volumes import METER

_REQUIREMENT_NOT_MET: Final = 3


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt."""

    succeeded: bool
    reason: Reason
    message: str
    log: LastWords | None = None
    """What may tell more, where the pod left no message."""

    def told_by(self, lines: str | None) -> "Outcome":
        """With the last lines of the log, if they could be read."""
        return self if not lines else replace(self, message=f"{self.message}; its last lines: {_tail(lines)}")


_TAIL_LENGTH: Final = 300


def _tail(lines: str) -> str:
    words = " ".join(lines.split())
    return words if len(words) <= _TAIL_LENGTH else f"...{words[-_TAIL_LENGTH:]}"


def outcome(
    job: Object,
    pods: list[Object],
    *,
    never_ready: bool,
    stored_apart: bool,
    context: Context,
    container: str = METER,
) -> Outcome | None:
    """How the attempt ended; None while it has not, or while its pods' last words are still waited for.

    `never_ready`: the servers were not ready when the time was up. `stored_apart`: results were to go to a store.
    `container`: whose end is the Job's.
    """
    if not jobs_seen.is_over(job) or jobs_seen.may_tell_more(job, pods, container, now=context.now):
        return None
    words = last_words(job, pods, container=container)
    if jobs_seen.completed(job):
        done = (
            "all is asked and stored, without joules" if has_no_joules(words) else "all is asked, measured and stored"
        )
        return Outcome(True, Reason.SUCCEEDED, _text(words, done))
    failure = jobs_seen.failure(job) or {}
    reason, said = failure.get("reason"), str(failure.get("message") or "")
    if reason == "DeadlineExceeded":
        return _too_late(never_ready=never_ready)
    found = _refused_by_a_first_step(pods)
    if found is not None:
        return Outcome(False, found.reason, found.message)
    if reason == "BackoffLimitExceeded":
        return Outcome(False, Reason.RETRY_LIMIT_EXCEEDED, _text(words, f"{_exits(pods)} {said}".strip()))
    return _failed(words, pods, said, stored_apart=stored_apart, container=container)


def _too_late(*, never_ready: bool) -> Outcome:
    if never_ready:
        message = "the servers were not ready when spec.timeouts.serverReady was over"
        return Outcome(False, Reason.SERVER_READY_TIMEOUT, message)
    return Outcome(False, Reason.RUN_TIMEOUT, "not all was asked when spec.timeouts.run was over; what was is kept")


def _refused_by_a_first_step(pods: list[Object]) -> Trouble | None:
    """What `fetch` found wrong, in the newest pod."""
    report = preflight.fetch_report(pods[0]) if pods else None
    return None if report is None or report.passed else preflight.finding(report)


def _failed(
    words: TerminationMessage | None, pods: list[Object], said: str, *, stored_apart: bool, container: str
) -> Outcome:
    code = next((end.get("exitCode") for pod in pods if (end := jobs_seen.ended(pod, container)) is not None), None)
    if words is not None and code == _REQUIREMENT_NOT_MET:
        return Outcome(False, _requirement(words, stored_apart=stored_apart), _text(words, said))
    log = jobs_seen.log_of(pods, container)
    return Outcome(False, Reason.RUN_FAILED, _text(words, f"{_exits(pods)} {said}".strip()), log)


def _requirement(words: TerminationMessage, *, stored_apart: bool) -> Reason:
    """Which requirement was not met, of a run that asked everything it could."""
    if words.state == "error-limit":
        return Reason.ERROR_LIMIT_EXCEEDED
    if words.energy_incomplete:
        return Reason.ENERGY_INCOMPLETE
    return Reason.UPLOAD_FAILED if stored_apart and words.results is None else Reason.RUN_FAILED


def _text(words: TerminationMessage | None, otherwise: str) -> str:
    said = [] if words is None else [part for part in (words.message, words.remedy) if part]
    return "; ".join(said) or otherwise


def _exits(pods: list[Object]) -> str:
    """Which containers of the newest pod ended with what."""
    if not pods:
        return ""
    codes = [f"{name} with {code}" for name, code in jobs_seen.exit_codes(pods[0]).items() if code]
    return f"pod {pods[0]['metadata']['name']} ended: {', '.join(codes)}." if codes else ""
