"""`queries.parquet`: one row a question."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.energy import Method
from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_bools, as_floats
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import ArrowColumn, pc
from joulebench_runner.results.asked import Asked
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.energy import CallEnergy
from joulebench_runner.results.schema import QUERIES
from joulebench_runner.results.tables import (
    UNKNOWN,
    Journal,
    nullable_floats,
    nullable_ints,
    row_column,
    row_ints,
    taken,
)
from joulebench_runner.results.turns import energy_arrays
from joulebench_runner.results.wallclock import WallClock

NOT_FINISHED = "not finished"

_FROM_BEGIN = ("query_id", "task", "record_id", "epoch", "attempt", "subject", "messages", "reference")
_FROM_FINISH = ("response", "score", "scorer", "explanation", "unscored_reason")


def queries_table(
    journal: Journal,
    asked: Asked,
    calls: CallTable,
    energy: CallEnergy,
    *,
    method: Method,
    devices: Mapping[str, ArrowColumn],
    clock: WallClock,
) -> pa.Table:
    """One row a question, in the order in which they were first begun.

    `devices`: the columns about what the devices showed, made elsewhere.
    """
    begins = taken(journal.tables[Kind.QUERY_BEGIN], asked.begin)
    finishes = taken(journal.tables[Kind.QUERY_FINISH], asked.finish)
    error = pc.if_else(pa.array(asked.finished), _chunk(finishes["error"]), NOT_FINISHED)
    columns: dict[str, ArrowColumn] = {
        **{name: begins[name] for name in _FROM_BEGIN},
        **{name: finishes[name] for name in _FROM_FINISH},
        "error": error,
        # An answer that failed is neither right nor wrong.
        "correct": pc.if_else(pc.is_null(error), _chunk(finishes["correct"]), pa.scalar(None, pa.bool_())),
        "started_at": clock.timestamps(row_column(begins, "instance_id"), row_ints(begins, "time_ns")),
        **_call_columns(len(asked), calls),
        **_energy_columns(len(asked), calls, energy, method),
        **devices,
    }
    return pa.table([pc.cast(columns[field.name], field.type) for field in QUERIES], schema=QUERIES)


def _chunk(column: ArrowColumn) -> ArrowColumn:
    """One array of a column; `if_else` mixes no arrays with chunked ones."""
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


@dataclass(frozen=True)
class _Group:
    """Some calls, by question; sums, extremes and ends of groups. `query`: int64[n], never -1."""

    rows: Ints
    query: Ints
    queries: int

    @classmethod
    def of(cls, chosen: Bools, calls: CallTable, queries: int) -> "_Group":
        rows = np.flatnonzero(chosen & (calls.query >= 0))
        # In the order in which they were to be sent.
        rows = rows[np.argsort(calls.ints("intended_ns")[rows], kind="stable")]
        return cls(rows, calls.query[rows], queries)

    def count(self, which: Bools | None = None) -> Ints:
        query = self.query if which is None else self.query[which[self.rows]]
        return np.bincount(query, minlength=self.queries).astype(np.int64)

    def sum_ints(self, values: Ints) -> Ints:
        total = np.zeros(self.queries, dtype=np.int64)
        np.add.at(total, self.query, values[self.rows])
        return total

    def sum_floats(self, values: Floats) -> Floats:
        return as_floats(np.bincount(self.query, weights=values[self.rows], minlength=self.queries))

    def first(self) -> Ints:
        """int64[Q]: the first call's row of each question; -1 without one."""
        found = np.full(self.queries, -1, dtype=np.int64)
        found[self.query[::-1]] = self.rows[::-1]
        return found

    def last(self) -> Ints:
        found = np.full(self.queries, -1, dtype=np.int64)
        found[self.query] = self.rows
        return found

    def all_have(self, which: Bools) -> Bools:
        """bool[Q]: there are calls, and each of them has it."""
        count = self.count()
        return as_bools((count > 0) & (self.count(which) == count))


def _call_columns(queries: int, calls: CallTable) -> dict[str, ArrowColumn]:
    turns, all_calls = _Group.of(calls.is_turn, calls, queries), _Group.of(~calls.is_judge, calls, queries)
    # Speed is the model's under test: submodels run elsewhere, at a pace of their own.
    own = _Group.of(calls.is_turn & calls.is_model, calls, queries)
    final = taken(calls.table, own.last())
    return {
        **{name: _token_sum(turns, values) for name, values in _tokens(calls).items()},
        "finish_reason": final["finish_reason"],
        "server_pod": final["server_pod"],
        "turns": pa.array(turns.count()),
        "calls": pa.array(all_calls.count()),
        "ttft_seconds": nullable_floats(_at(calls.seconds("first_content_ns", "intended_ns"), own.first())),
        "tpot_seconds": nullable_floats(_seconds_per_token(own, calls)),
        "e2e_seconds": nullable_floats(_end_to_end_seconds(turns, calls, turns.first())),
    }


def _tokens(calls: CallTable) -> dict[str, Ints]:
    return {
        "prompt_tokens": calls.ints("prompt_tokens"),
        "cached_prompt_tokens": calls.ints("cached_prompt_tokens"),
        "output_tokens": calls.output_tokens,
    }


def _token_sum(turns: _Group, values: Ints) -> ArrowColumn:
    return nullable_ints(turns.sum_ints(np.maximum(values, 0)), turns.all_have(values != UNKNOWN))


def _at(values: Floats, rows: Ints) -> Floats:
    return np.where(rows >= 0, np.append(values, np.nan)[rows], np.nan)


def _seconds_per_token(turns: _Group, calls: CallTable) -> Floats:
    usable = ~np.isnan(calls.decode_seconds) & (calls.output_tokens > 1)
    seconds = turns.sum_floats(np.where(usable, calls.decode_seconds, 0.0))
    tokens = turns.sum_ints(np.where(usable, calls.output_tokens - 1, 0))
    return np.where(tokens > 0, seconds / np.maximum(tokens, 1), np.nan)


def _end_to_end_seconds(turns: _Group, calls: CallTable, first: Ints) -> Floats:
    end = np.zeros(turns.queries, dtype=np.int64)
    np.maximum.at(end, turns.query, calls.ints("end_ns")[turns.rows])
    start = np.append(calls.ints("intended_ns"), 0)[first]
    return np.where(first >= 0, (end - start) / 1e9, np.nan)


def _energy_columns(queries: int, calls: CallTable, energy: CallEnergy, method: Method) -> dict[str, ArrowColumn]:
    group = _Group.of(energy.seen & (calls.bucket == Bucket.QUERIES), calls, queries)
    everything = _Group.of(calls.bucket == Bucket.QUERIES, calls, queries)
    known = group.count() > 0
    fallen = group.count(energy.fallback)
    methods = np.where(fallen == 0, method.value, np.where(fallen == group.count(), Method.EQUAL.value, "Mixed"))
    return {
        **energy_arrays(
            mj=group.sum_ints(energy.total_mj),
            low_mj=group.sum_floats(energy.low_mj),
            high_mj=group.sum_floats(energy.high_mj),
            prefill_mj=group.sum_ints(energy.prefill_mj),
            decode_mj=group.sum_ints(energy.decode_mj),
            known=known,
            bounded=everything.all_have(energy.whole),
            split=group.all_have(energy.split),
        ),
        "energy_method": pa.array(methods, pa.string(), mask=~known),
    }
