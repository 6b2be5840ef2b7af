"""How the shards of a run ended, by their journals, and what that says of the run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from joulebench_runner.errors import BadInputError
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.build import resolved_task
from joulebench_runner.results.tables import Journal, row_column
from joulebench_runner.verdict import EXIT_CODES, Outcome

_WORST_FIRST: Final[Sequence[Outcome]] = ("failed", "error-limit", "interrupted", "completed")
_IDENTITY: Final = ("name", "revision", "records", "epochs", "sha256")
"""Fields of a task from which its questions' ids are made."""


@dataclass(frozen=True)
class Ending:
    """How one shard ended, or all of them."""

    outcome: Outcome
    message: str | None = None


def ending_of(index: int, journal: Journal | None) -> Ending:
    """What the driver of a shard's last pod said; one that was not heard of at its end was interrupted."""
    if journal is None or not journal.clocks:
        return Ending("interrupted", f"shard {index} never began")
    last = journal.clocks[-1].instance_id
    notes = journal.tables[Kind.NOTE]
    meters: list[Any] = row_column(notes, "instance_id").to_pylist()
    said = [
        note
        for note, meter in zip(notes.to_pylist(), meters, strict=True)
        if meter == last and note["topic"] == "driver" and note["subject"] in EXIT_CODES
    ]
    if not said:
        return Ending("interrupted", f"shard {index} did not come to its end")
    outcome, message = said[-1]["subject"], said[-1]["message"]
    return Ending(outcome, None if message is None or outcome == "completed" else f"shard {index}: {message}")


def together(endings: Sequence[Ending]) -> Ending:
    """The run's ending: the worst of its shards'."""
    worst = next(outcome for outcome in _WORST_FIRST if any(one.outcome == outcome for one in endings))
    return next(one for one in endings if one.outcome == worst)


def refuse_different_questions(journals: Sequence[Journal]) -> None:
    """Raise BadInputError where shards were given the questions of different tasks to share."""
    tasks = [task for task in map(resolved_task, journals) if task is not None]
    for name in _IDENTITY:
        values = list(dict.fromkeys(str(getattr(task, name)) for task in tasks))
        if len(values) > 1:
            raise BadInputError(
                f"the shards of this run had different questions: {name} was {' and '.join(values)}",
                remedy="Pin spec.task.source.hub.revision, or mount the questions from a claim.",
            )
