"""New verdicts in place of a journal's: which answers can be scored again, and what is put in their place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.results.tables import Journal, index_of, pair_keys, taken

SCORER_FAILED = "the scorer failed: "
"""How the error of an answer begins whose only fault was its scorer's."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A stored answer that a scorer can judge."""

    row: int
    """In the journal's table of finished attempts."""
    record_id: str
    epoch: int
    response: str
    reference: str | None


@dataclass(frozen=True, kw_only=True)
class NewVerdict:
    """What a scorer says now. Where all is None the answer is unscored for `unscored_reason`, or failed by `error`."""

    score: float | None = None
    correct: bool | None = None
    explanation: str | None = None
    unscored_reason: str | None = None
    error: str | None = None


def answers(journal: Journal) -> Iterator[Answer]:
    """All answers that were given in full, those included that only their scorer failed on."""
    finishes = journal.tables[Kind.QUERY_FINISH]
    begins = journal.tables[Kind.QUERY_BEGIN]
    asked = taken(begins, index_of(pair_keys(finishes), pair_keys(begins)))
    columns = [asked[name] for name in ("record_id", "epoch", "reference")]
    columns += [finishes[name] for name in ("response", "error")]
    for row, (record, epoch, reference, response, error) in enumerate(
        zip(*(column.to_pylist() for column in columns), strict=True)
    ):
        if record is not None and response is not None and (error is None or error.startswith(SCORER_FAILED)):
            yield Answer(row=row, record_id=record, epoch=epoch, response=response, reference=reference)


def with_verdicts(journal: Journal, verdicts: Mapping[int, NewVerdict], *, scorer: str) -> Journal:
    """The journal with new verdicts, by row of its finished attempts; answers and all else stay as they are."""
    table = journal.tables[Kind.QUERY_FINISH]
    known = np.zeros(table.num_rows, dtype=np.bool_)
    known[list(verdicts)] = True
    for name in ("score", "correct", "explanation", "unscored_reason", "error"):
        values = table[name].to_pylist()
        for row, verdict in verdicts.items():
            values[row] = getattr(verdict, name)
        table = _with_column(table, name, values)
    scorers = [scorer if new else old for new, old in zip(known.tolist(), table["scorer"].to_pylist(), strict=True)]
    table = _with_column(table, "scorer", scorers)
    return replace(journal, tables={**journal.tables, Kind.QUERY_FINISH: table})


def changed(before: Journal, after: Journal) -> int:
    """How many answers are judged otherwise now."""
    old, new = (one.tables[Kind.QUERY_FINISH] for one in (before, after))
    pairs = [zip(table["correct"].to_pylist(), table["score"].to_pylist(), strict=True) for table in (old, new)]
    return sum(one != other for one, other in zip(*pairs, strict=True))


def _with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    kind = FIELDS[Kind.QUERY_FINISH][name]
    return table.set_column(table.schema.get_field_index(name), name, pa.chunked_array([pa.array(values, kind)]))
