"""Our own tasks' rules over stored answers. Pure, but for the metadata of records, which lie in the logs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from joulebench_runner.errors import BadInputError
from joulebench_runner.results.verdicts import Answer, NewVerdict
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.records import Grader, Verdict

Metadata = Mapping[tuple[str, int], Mapping[str, Any]]
"""By record id and epoch."""


def native_verdicts(
    entry: TaskEntry, answers: Iterable[Answer], *, metadata: Callable[[], Metadata]
) -> dict[int, NewVerdict]:
    """Verdicts by the row of the answer. `metadata` is called only where the rule reads any."""
    if entry.grade is None:
        raise BadInputError(f"{entry.key} has no scorer", remedy="Name one with --scorer.")
    known = metadata() if entry.grade_reads else {}
    return {answer.row: _verdict(entry, entry.grade, answer, known) for answer in answers}


def _verdict(entry: TaskEntry, grade: Grader, answer: Answer, metadata: Metadata) -> NewVerdict:
    of_record = metadata.get((answer.record_id, answer.epoch), {})
    lacking = [name for name in entry.grade_reads if name not in of_record]
    if lacking:
        raise BadInputError(
            f"the scorer {entry.key} reads the field {lacking[0]!r} of each record, which the log of record "
            f"{answer.record_id!r} does not have",
            remedy="Choose the scorer of the run's own task, and keep the folder logs/ of the run.",
        )
    if answer.reference is None:
        raise BadInputError(
            f"record {answer.record_id!r} has no reference answer, so {entry.key} cannot score it",
            remedy="Only tasks with reference answers can be scored.",
        )
    try:
        return _as_new(grade(answer.response, answer.reference, of_record))
    # Another task's reference need not be of the kind that this rule compares with.
    except (ArithmeticError, ValueError) as error:
        raise BadInputError(
            f"the scorer {entry.key} cannot compare with {answer.reference!r}, the reference of record "
            f"{answer.record_id!r}",
            remedy="Choose the scorer of the run's own task.",
        ) from error


def _as_new(verdict: Verdict) -> NewVerdict:
    if verdict.verdict == "unscored":
        return NewVerdict(unscored_reason=verdict.reason, explanation=verdict.explanation)
    right = verdict.verdict == "right"
    return NewVerdict(score=float(right), correct=right, explanation=verdict.explanation)
