"""The journals of a run's shards as one journal, as if one meter had written it: in one clock, every event once.

So whatever is made of a journal is made of them: attribution sees all calls on a device together, and no shard's calls
are foreign to another's.

- All times of meters are moved into the clock of one of them (`meter_clocks`); what may be wrong about that widens the
  bounds of all calls. Pings of the others keep their offset, and their round trip grows by as much.
- Ticks are told apart by exporter, device and sequence, looks by exporter, device and time: what several meters were
  told counts once.
- The run is in the stage that most of it is about: it is measured while any shard's questions are asked.
- A call that a crash cut off lasted until its own meter was last heard of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.meter import Stage
from joulebench_runner.attribution.arrays import Ints
from joulebench_runner.journal.names import JOURNAL_FOLDER, shard_folders
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.results.arrow import ArrowColumn, pc
from joulebench_runner.results.load_seen import scrapes_of_all
from joulebench_runner.results.meter_clocks import BY_TIME_OF_DAY, MeterClocks, by_row, meter_clocks
from joulebench_runner.results.stages import Span, spans
from joulebench_runner.results.tables import Journal, index_of, row_column, row_ints, taken

UNITED: Final = "all shards"
"""The meter's instance id in a united journal."""

_OF_METERS_CLOCK: Final[Mapping[Kind, Sequence[str]]] = {
    Kind.ACTION: ("start_ns", "end_ns"),
    Kind.CALL_BEGIN: ("send_ns",),
    Kind.CALL: (
        "intended_ns",
        "send_ns",
        "headers_ns",
        "first_chunk_ns",
        "first_content_ns",
        "last_content_ns",
        "end_ns",
        "content_chunk_ns",
    ),
    Kind.PING: ("t0_ns", "t3_ns"),
    Kind.SCRAPE: ("send_ns", "receive_ns"),
    Kind.SUSPEND: ("start_ns", "end_ns"),
}
"""Fields in the clock of the meter, beside the row's own time."""

_ASKING_FIRST: Final = (Stage.RUN, Stage.WARMUP, Stage.BASELINE, Stage.STARTUP)
"""The run is in the first of these that any shard is in."""


@dataclass(frozen=True)
class _Pair:
    boot_id: str
    instance_id: str
    monotonic_ns: int
    realtime_ns: int


def whole_journal(run_dir: Path) -> Journal:
    """The journal in a run's folder, of one meter or of the meters of all shards. Raises JournalError."""
    shards = shard_journals(run_dir)
    return united([*shards.values()]) if shards else Journal.of(read(run_dir / JOURNAL_FOLDER))


def shard_journals(run_dir: Path) -> dict[int, Journal]:
    """The journal of each shard by its index; none for a run of one meter. Raises JournalError."""
    folders = shard_folders(run_dir / JOURNAL_FOLDER)
    return {index: _named(Journal.of(read(path)), path.name) for index, path in folders.items()}


def _named(journal: Journal, name: str) -> Journal:
    return replace(journal, problems=[f"{name}: {problem}" for problem in journal.problems])


def united(journals: Sequence[Journal]) -> Journal:
    """Several journals of one run as one. Pure."""
    together = _together(journals)
    clocks = meter_clocks(together)
    moved = _moved(together, clocks)
    gone_ns = _gone_ns(moved)
    tables = {
        **moved.tables,
        Kind.STAGE: _stages(moved),
        Kind.LOOK: _once(moved.tables[Kind.LOOK], ("exporter", "device", "time_ns")),
        Kind.SCRAPE: scrapes_of_all(moved, gone_ns=gone_ns, margin_ns=clocks.bound_ns),
    }
    return Journal(
        {kind: _of_one_meter(table, clocks.reference) for kind, table in tables.items()},
        [
            _Pair(pair.boot_id, UNITED, pair.monotonic_ns, pair.realtime_ns)
            for pair in together.clocks
            if pair.boot_id == clocks.reference
        ],
        [*together.problems, *_clock_problems(moved, clocks)],
        written=together.clocks,
        clock_error_ns=clocks.bound_ns,
        gone_ns=gone_ns,
    )


def _together(journals: Sequence[Journal]) -> Journal:
    """One after the other, untouched."""
    return Journal(
        {kind: pa.concat_tables([one.tables[kind] for one in journals]) for kind in Kind},
        [pair for one in journals for pair in one.clocks],
        [problem for one in journals for problem in one.problems],
    )


def _clock_problems(journal: Journal, clocks: MeterClocks) -> list[str]:
    """Of meters whose clock can only be guessed, where that matters."""
    guessed = [boot for boot, relation in clocks.relations.items() if relation.basis == BY_TIME_OF_DAY]
    if not guessed or not journal.tables[Kind.TICKS].num_rows:
        return []
    return [
        f"no exporter answered both the meters of boot {boot} and those of {clocks.reference}: their clocks are "
        "related by the time of day, and how wrong that is nobody knows"
        for boot in guessed
    ]


# --- clocks ---


def _moved(journal: Journal, clocks: MeterClocks) -> Journal:
    """All times of meters in the reference's clock, and all rows in the order of their times."""
    tables = {kind: _shifted(kind, table, clocks) for kind, table in journal.tables.items()}
    tables[Kind.PING] = _widened(tables[Kind.PING], journal.tables[Kind.PING], clocks)
    return replace(journal, tables={kind: _in_order(table) for kind, table in tables.items()})


def _in_order(table: pa.Table) -> pa.Table:
    return taken(table, np.argsort(row_ints(table, "time_ns"), kind="stable"))


def _shifted(kind: Kind, table: pa.Table, clocks: MeterClocks) -> pa.Table:
    by_ns = by_row(table, lambda relation: relation.shift_ns, clocks)
    if not by_ns.any():
        return table
    own_time = "row_time_ns" if "row_time_ns" in table.column_names else "time_ns"
    for name in (own_time, *_OF_METERS_CLOCK.get(kind, ())):
        place = table.column_names.index(name)
        move = _moved_lists if FIELDS[kind].get(name) == pa.list_(pa.int64()) else _moved_times
        table = table.set_column(place, table.schema.field(place), move(table[name], by_ns))
    return table


def _moved_times(column: ArrowColumn, by_ns: Ints) -> ArrowColumn:
    return pc.add(column, pa.array(by_ns))


def _moved_lists(column: ArrowColumn, by_ns: Ints) -> ArrowColumn:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    values = pc.add(pc.list_flatten(column).combine_chunks(), pa.array(np.repeat(by_ns, lengths)))
    offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=pc.is_null(column).combine_chunks())


def _widened(moved: pa.Table, pings: pa.Table, clocks: MeterClocks) -> pa.Table:
    """Pings with a round trip that is longer by what may be wrong about their meter's clock."""
    bound = by_row(pings, lambda relation: relation.bound_ns, clocks)
    for name, wider in (("t0_ns", -bound), ("t3_ns", bound)):
        place = moved.column_names.index(name)
        moved = moved.set_column(place, moved.schema.field(place), _moved_times(moved[name], wider))
    return moved


def _of_one_meter(table: pa.Table, boot: str) -> pa.Table:
    for name, value in (("instance_id", UNITED), ("boot_id", boot)):
        own = f"row_{name}" if f"row_{name}" in table.column_names else name
        place = table.column_names.index(own)
        table = table.set_column(place, table.schema.field(place), pa.repeat(pa.scalar(value), table.num_rows))
    return table


# --- events ---


def _once(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The first row of each identity."""
    identity = pc.binary_join_element_wise(*(pc.cast(table[name], pa.string()) for name in names), "\n")
    return taken(table, np.flatnonzero(index_of(identity, identity) == np.arange(table.num_rows)))


def _gone_ns(journal: Journal) -> dict[str, int]:
    """When the meter of each call that was cut off was last heard of."""
    begins, calls = journal.tables[Kind.CALL_BEGIN], journal.tables[Kind.CALL]
    cut = taken(begins, np.flatnonzero(index_of(begins["call_id"], calls["call_id"]) < 0))
    ids: list[Any] = cut["call_id"].to_pylist()
    meters: list[Any] = row_column(cut, "instance_id").to_pylist()
    return {call_id: journal.last_ns[meter] for call_id, meter in zip(ids, meters, strict=True)}


def _stages(journal: Journal) -> pa.Table:
    """The run's stages, of those of all shards; results are made after all of them."""
    turns = _in_turn(spans(journal))
    rows: list[dict[str, Any]] = []
    for stage, start_ns, end_ns in turns:
        rows += [_stage_row(stage, "start", start_ns), _stage_row(stage, "end", end_ns)]
    if turns:
        rows.append(_stage_row(Stage.EXPORT, "start", turns[-1][2]))
    return pa.Table.from_pylist(rows, schema=journal.tables[Kind.STAGE].schema)


def _stage_row(stage: Stage, event: str, time_ns: int) -> dict[str, Any]:
    return {"stage": stage.value, "event": event, "sequence": 0, "time_ns": time_ns}


def _in_turn(each: Sequence[Span]) -> list[tuple[Stage, int, int]]:
    """Stretches that do not overlap, each in the first stage of _ASKING_FIRST that a shard is in."""
    found: list[tuple[Stage, int, int]] = []
    for start_ns, end_ns in pairwise(sorted({edge for span in each for edge in (span.start_ns, span.end_ns)})):
        there = {span.stage for span in each if span.start_ns <= start_ns and span.end_ns >= end_ns}
        stage = next((one for one in _ASKING_FIRST if one in there), None)
        if stage is None:
            continue
        if found and found[-1][0] is stage and found[-1][2] == start_ns:
            found[-1] = (stage, found[-1][1], end_ns)
        else:
            found.append((stage, start_ns, end_ns))
    return found
