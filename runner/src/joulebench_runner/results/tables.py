"""The journal as this package sees it, and columns of its tables as numpy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_bools, as_floats, as_ints
from joulebench_runner.journal.reader import JournalContents
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import ArrowColumn, pc

UNKNOWN = -1
"""Stands for null in integer arrays of counts and times, which are never negative."""


class ClockPair(Protocol):
    """A (monotonic, realtime) pair of one meter process; each journal segment carries one."""

    @property
    def boot_id(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def monotonic_ns(self) -> int: ...
    @property
    def realtime_ns(self) -> int: ...


@dataclass(frozen=True)
class Journal:
    """All rows by kind (see `JournalContents.table`), the clock pairs, and what is wrong with the files."""

    tables: Mapping[Kind, pa.Table]
    clocks: Sequence[ClockPair]
    problems: Sequence[str] = field(default=())
    written: Sequence[ClockPair] = field(default=())
    """The pairs as they were written, where `clocks` are those of several meters in one clock."""
    clock_error_ns: int = 0
    """What may be wrong about the times of calls, where several meters wrote them."""
    gone_ns: Mapping[str, int] = field(default_factory=dict)
    """When the meter of a call that was cut off was last heard of, by call id; else its window ends with it."""

    @classmethod
    def of(cls, contents: JournalContents) -> "Journal":
        """Bind what the journal's reader returns."""
        return cls({kind: contents.table(kind) for kind in Kind}, contents.segments, contents.problems)

    @cached_property
    def last_ns(self) -> Mapping[str, int]:
        """The latest time of any row, by meter instance."""
        last: dict[str, int] = {}
        for table in self.tables.values():
            times, instances = row_ints(table, "time_ns"), codes(row_column(table, "instance_id"))
            for code, name in enumerate(instances.names):
                last[name] = max(last.get(name, 0), int(times[instances.codes == code].max()))
        return last


@dataclass(frozen=True)
class Codes:
    """A column of texts as numbers: `codes` int64[N] into `names`; -1 for null. Names are in order of appearance."""

    codes: Ints
    names: list[str]


def codes(column: ArrowColumn) -> Codes:
    """Dictionary-encode a column of texts."""
    encoded = pc.dictionary_encode(column).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], pa.string()).dictionary_encode()
    return Codes(_numpy(encoded.indices, pa.int64(), UNKNOWN), encoded.dictionary.to_pylist())


def row_column(table: pa.Table, name: str) -> ArrowColumn:
    """`sequence`, `time_ns`, `instance_id` or `boot_id` of the row itself; an event may have one of its own too."""
    own = f"row_{name}"
    return table[own if own in table.column_names else name]


def row_ints(table: pa.Table, name: str) -> Ints:
    """The same as an int64 array."""
    return as_ints(_numpy(row_column(table, name), pa.int64(), UNKNOWN))


def ints(table: pa.Table, name: str) -> Ints:
    """An integer column; null becomes UNKNOWN."""
    return as_ints(_numpy(table[name], pa.int64(), UNKNOWN))


def floats(table: pa.Table, name: str) -> Floats:
    """A column of numbers; null becomes NaN."""
    return as_floats(_numpy(table[name], pa.float64(), float("nan")))


def truths(column: ArrowColumn) -> Bools:
    """A column of booleans as an array; null becomes False."""
    return as_bools(_numpy(column, pa.int64(), 0) == 1)


def taken(table: pa.Table, rows: Ints) -> pa.Table:
    """Some rows of a table; a row of nulls for -1. All rows in order are the table itself, without a copy."""
    if len(rows) == table.num_rows and bool((rows == np.arange(len(rows))).all()):
        return table
    return table.take(pa.array(rows, pa.int64(), mask=rows < 0))


def bools(table: pa.Table, name: str) -> Bools:
    """A column of booleans; null becomes False."""
    return truths(table[name])


def is_null(table: pa.Table, name: str) -> Bools:
    """Where a column is null."""
    return truths(pc.is_null(table[name]))


def equals(table: pa.Table, name: str, value: str) -> Bools:
    """Where a column of texts has a value."""
    return truths(pc.equal(table[name], value))


def nullable_ints(values: Ints, known: Bools) -> ArrowColumn:
    """Integers, null where not known."""
    return pa.array(values, pa.int64(), mask=~known)


def nullable_floats(values: Floats) -> ArrowColumn:
    """Floats, null where NaN."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def pair_keys(table: pa.Table) -> ArrowColumn:
    """`query_id.attempt`, the identity of one attempt; null without a query."""
    return pc.binary_join_element_wise(table["query_id"], pc.cast(table["attempt"], pa.string()), ".")


def index_of(keys: ArrowColumn, among: ArrowColumn) -> Ints:
    """int64[N]: where each key stands among others (the first of equals); -1 where it does not, or is null."""
    found = pc.index_in(keys, value_set=among.combine_chunks(), skip_nulls=True)
    return as_ints(_numpy(found, pa.int64(), UNKNOWN))


def _numpy(column: ArrowColumn, kind: pa.DataType, null: float) -> Any:
    filled = pc.fill_null(pc.cast(column, kind), null)
    return np.asarray(filled.to_numpy(zero_copy_only=False) if isinstance(filled, pa.Array) else filled.to_numpy())
