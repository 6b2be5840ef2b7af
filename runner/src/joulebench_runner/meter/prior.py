"""What a journal that lies in the folder already says: which questions are answered, which were begun."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from joulebench_api.contracts.meter import ResolvedTask
from joulebench_runner.errors import BadInputError
from joulebench_runner.journal.reader import JournalContents
from joulebench_runner.journal.schema import Kind

_IDENTITY: Final = ("name", "revision", "records", "epochs", "sha256")
"""Fields of a task from which its questions' ids are made."""

Outcome = Literal["correct", "incorrect", "unscored", "errors"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Answers and attempts of earlier starts of the same run."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """By query id; the first answer counts."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Next attempt number by query id, for all that were ever begun."""
    task: ResolvedTask | None = None
    """What was asked; None if it never came to that."""


def outcome_of(*, error: str | None, correct: bool | None) -> Outcome:
    """How a finished question counts."""
    if error is not None:
        return "errors"
    if correct is None:
        return "unscored"
    return "correct" if correct else "incorrect"


def prior_of(contents: JournalContents) -> Prior:
    """Read the answers and attempts out of a journal."""
    outcomes: dict[str, Outcome] = {}
    finishes = contents.table(Kind.QUERY_FINISH).select(["query_id", "error", "correct"]).to_pylist()
    for row in finishes:
        outcomes.setdefault(row["query_id"], outcome_of(error=row["error"], correct=row["correct"]))
    attempts: dict[str, int] = {}
    for kind in (Kind.QUERY_BEGIN, Kind.CALL_BEGIN, Kind.QUERY_FINISH):
        for row in contents.table(kind).select(["query_id", "attempt"]).to_pylist():
            if row["query_id"] is not None:
                attempts[row["query_id"]] = max(attempts.get(row["query_id"], 0), (row["attempt"] or 0) + 1)
    return Prior(outcomes=outcomes, attempts=attempts, task=_task(contents))


def _task(contents: JournalContents) -> ResolvedTask | None:
    plans = contents.table(Kind.PLAN)["json"].to_pylist()
    return ResolvedTask.model_validate(json.loads(str(plans[0]))["task"]) if plans else None


def refuse_other_task(before: ResolvedTask | None, now: ResolvedTask) -> None:
    """Raise BadInputError where other questions would be asked than those that lie in the journal."""
    if before is None:
        return
    changed = [name for name in _IDENTITY if getattr(before, name) != getattr(now, name)]
    if changed:
        words = "; ".join(f"{name} was {getattr(before, name)!r}, is {getattr(now, name)!r}" for name in changed)
        raise BadInputError(
            f"the questions of task {before.name} are not those that this run began with: {words}",
            remedy="bring the data of the first start back to go on, or choose another folder with --out",
        )
