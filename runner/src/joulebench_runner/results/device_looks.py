"""The journal's looks at the devices, in the meter's clock, and what is made of them."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.summary import Gpu, Range
from joulebench_exporter.diagnostics import THROTTLING
from joulebench_runner.attribution.arrays import Bools, Ints, as_bools, as_ints
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results import looks as figures
from joulebench_runner.results.arrow import ArrowColumn, pc
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.looks import ANY, FIGURES, REASONS, Looks, Spread, Stretches, running_backwards
from joulebench_runner.results.series import DeviceFacts, Series, device_facts, exporter_clock
from joulebench_runner.results.stages import Span
from joulebench_runner.results.tables import Journal, floats, ints, nullable_floats, row_column, row_ints, truths

TIME: Final = "time_ns"
"""Names a reading whose clock ran backwards."""


@dataclass(frozen=True)
class DeviceLooks:
    """All looks at one device that one boot of the meter's machine saw.

    `suspect_ns`: when each reading that cannot be true was told, by its name.
    """

    facts: DeviceFacts
    meter_boot_id: str
    looks: Looks
    suspect_ns: Mapping[str, Ints]


def all_looks(journal: Journal) -> list[DeviceLooks]:
    """One for each device and boot of the meter; none of an exporter whose clock is not known."""
    facts, found = device_facts(journal), []
    table = journal.tables[Kind.LOOK]
    for boot in pc.unique(row_column(table, "boot_id")).to_pylist():
        of_boot = table.filter(pc.equal(row_column(table, "boot_id"), boot))
        for device in pc.unique(of_boot["device"]).to_pylist():
            rows = of_boot.filter(pc.equal(of_boot["device"], device))
            by_machine: dict[str, list[DeviceLooks]] = {}
            for part in _parts(journal, rows, boot, facts):
                by_machine.setdefault(part.facts.boot_id, []).append(part)
            found += [_joined(parts) for parts in by_machine.values()]
    return found


def gpus(series: Sequence[Series], looked: Sequence[DeviceLooks], windows: Sequence[Span]) -> list[Gpu]:
    """Each accelerator with what it showed in the measured time."""
    found = {one.facts.device: one.facts for one in series if one.facts.domain == Domain.GPU}
    return [
        _gpu(facts, [one for one in looked if one.facts.device == device], windows) for device, facts in found.items()
    ]


def warnings(boards: Sequence[Gpu]) -> list[str]:
    """Of readings that cannot be true, each name once a device."""
    return [
        f"device {board.device}: {count} readings of {name} cannot be true and are in none of its figures"
        for board in boards
        for name, count in board.suspect_readings.items()
    ]


def query_columns(
    calls: CallTable, looked: Sequence[DeviceLooks], *, queries: int, aliases: AbstractSet[str]
) -> dict[str, ArrowColumn]:
    """Columns of `queries.parquet`: what the devices showed while they served each question's calls."""
    counted = (calls.query >= 0) & (calls.bucket == Bucket.QUERIES) & calls.measured(aliases)
    by_boot = {boot: _serving(calls, counted, boot, queries) for boot in {one.meter_boot_id for one in looked}}
    each = [(one.looks, by_boot[one.meter_boot_id]) for one in looked]
    power = [one.spread(figures.POWER, over) for one, over in each]
    utilisation = [one.spread(figures.UTILISATION, over) for one, over in each]
    memory = [one.spread(figures.MEMORY, over) for one, over in each]
    heat = [one.spread(figures.TEMPERATURE, over) for one, over in each]
    throttling = [one.throttling_seconds(ANY, over) for one, over in each]
    top = figures.highest([one.highest for one in memory], queries)
    return {
        "device_mean_watts": nullable_floats(figures.mean([one.mean for one in power], queries)),
        "device_max_watts": nullable_floats(figures.highest([one.highest for one in power], queries)),
        "device_mean_utilisation_percent": nullable_floats(figures.mean([one.mean for one in utilisation], queries)),
        "device_max_memory_bytes": pc.cast(nullable_floats(top), pa.int64()),
        "device_max_temperature_celsius": nullable_floats(figures.highest([one.highest for one in heat], queries)),
        "device_throttling_seconds": nullable_floats(figures.highest(throttling, queries)),
    }


def _serving(calls: CallTable, counted: Bools, boot: str, queries: int) -> Stretches:
    """When the calls of each question were in flight, in one boot."""
    rows = np.flatnonzero(counted & truths(pc.equal(row_column(calls.table, "boot_id"), boot)))
    return Stretches(calls.query[rows], calls.ints("send_ns")[rows], calls.ints("end_ns")[rows], queries).merged()


def _parts(
    journal: Journal, rows: pa.Table, boot: str, facts: Mapping[tuple[str, str], DeviceFacts]
) -> Iterator[DeviceLooks]:
    """The looks of each exporter process."""
    for exporter in pc.unique(rows["exporter"]).to_pylist():
        part = rows.filter(pc.equal(rows["exporter"], exporter))
        known = facts.get((exporter, part["device"][0].as_py()))
        if known is None:
            continue
        told_ns = ints(part, "time_ns")
        clock = exporter_clock(journal, exporter, boot, same_boot=known.boot_id == boot, times=told_ns)
        if clock is not None:
            yield _part(part, known, boot, told_ns=told_ns, meter_ns=clock.to_meter(told_ns))


def _part(rows: pa.Table, facts: DeviceFacts, boot: str, *, told_ns: Ints, meter_ns: Ints) -> DeviceLooks:
    backwards = running_backwards(told_ns)
    in_order = np.flatnonzero(~backwards)
    # A look that was sent again, to a new connection, has the time that it had.
    kept = in_order[np.unique(told_ns[in_order], return_index=True)[1]]
    marks = _marks(rows)
    looks = Looks(
        time_ns=meter_ns[kept],
        values={name: np.where(_marked(marks, name, rows), np.nan, floats(rows, name))[kept] for name in FIGURES},
        reasons=_throttling(rows)[kept],
    )
    suspect_ns = {name: meter_ns[kept][mark[kept]] for name, mark in marks.items()}
    if backwards.any():
        # Their own time is what cannot be true.
        suspect_ns[TIME] = row_ints(rows, "time_ns")[backwards]
    return DeviceLooks(facts, boot, looks, suspect_ns)


def _marks(rows: pa.Table) -> dict[str, Bools]:
    """bool[K] by name: where a reading cannot be true, by the exporter's judgement."""
    names, parents = pc.list_flatten(rows["suspect"]), pc.list_parent_indices(rows["suspect"]).to_numpy()
    found: dict[str, Bools] = {}
    for name in pc.unique(names).to_pylist():
        found[name] = np.zeros(rows.num_rows, dtype=np.bool_)
        found[name][parents[truths(pc.equal(names, name))]] = True
    return found


def _marked(marks: Mapping[str, Bools], name: str, rows: pa.Table) -> Bools:
    return marks.get(name, np.zeros(rows.num_rows, dtype=np.bool_))


def _throttling(rows: pa.Table) -> Ints:
    """int64[K]: the bits that are throttling; -1 where the device does not tell."""
    bits = pc.bit_wise_and(rows["clock_reasons"], pa.scalar(THROTTLING, pa.uint64()))
    return as_ints(pc.fill_null(pc.cast(bits, pa.int64()), -1).to_numpy())


def _joined(parts: Sequence[DeviceLooks]) -> DeviceLooks:
    """Exporters one after the other."""
    time_ns = np.concatenate([part.looks.time_ns for part in parts])
    times, order = np.unique(time_ns, return_index=True)
    names = dict.fromkeys(name for part in parts for name in part.suspect_ns)
    none = np.zeros(0, dtype=np.int64)
    return DeviceLooks(
        parts[-1].facts,
        parts[-1].meter_boot_id,
        Looks(
            time_ns=times,
            values={name: np.concatenate([part.looks.values[name] for part in parts])[order] for name in FIGURES},
            reasons=np.concatenate([part.looks.reasons for part in parts])[order],
        ),
        {name: np.concatenate([part.suspect_ns.get(name, none) for part in parts]) for name in names},
    )


def _gpu(facts: DeviceFacts, looked: Sequence[DeviceLooks], windows: Sequence[Span]) -> Gpu:
    each = [(one, _windows_of(one, windows)) for one in looked]
    seconds = {
        name: [value for one, over in each if not np.isnan(value := one.looks.throttling_seconds(name, over)[0])]
        for name in REASONS
    }
    by_reason = {name: float(sum(values)) for name, values in seconds.items() if name != ANY and sum(values)}
    return Gpu(
        device=facts.device,
        name=facts.name,
        sensor=facts.sensor,
        looks=sum(int(_inside(one.looks.time_ns, over).sum()) for one, over in each),
        **{name: _range([one.looks.spread(name, over) for one, over in each]) for name in FIGURES},
        throttling_seconds=float(sum(seconds[ANY])) if seconds[ANY] else None,
        throttling_seconds_by_reason=by_reason,
        suspect_readings=_suspects(each),
    )


def _windows_of(one: DeviceLooks, windows: Sequence[Span]) -> Stretches:
    """The measured time of one boot, as one group."""
    here = [window for window in windows if window.boot_id == one.meter_boot_id]
    starts, ends = as_ints([window.start_ns for window in here]), as_ints([window.end_ns for window in here])
    return Stretches(np.zeros(len(here), dtype=np.int64), starts, ends, 1).merged()


def _inside(time_ns: Ints, over: Stretches) -> Bools:
    """bool[K]: the times within any stretch; stretches do not overlap and are in order."""
    place = np.searchsorted(over.start_ns, time_ns, side="right") - 1
    return as_bools((place >= 0) & (time_ns <= np.append(over.end_ns, 0)[place]))


def _range(spreads: Sequence[Spread]) -> Range | None:
    """Over all boots."""
    known = [(one, float(one.known_ns[0])) for one in spreads if one.known_ns[0] > 0]
    if not known:
        return None
    return Range(
        mean=float(sum(one.mean[0] * length for one, length in known) / sum(length for _, length in known)),
        max=float(max(one.highest[0] for one, _ in known)),
        min=float(min(one.lowest[0] for one, _ in known)),
    )


def _suspects(each: Sequence[tuple[DeviceLooks, Stretches]]) -> dict[str, int]:
    """How many readings of each name, in the measured time; names without any are left out."""
    found: dict[str, int] = {}
    for one, over in each:
        for name, time_ns in one.suspect_ns.items():
            count = int(_inside(time_ns, over).sum())
            if count:
                found[name] = found.get(name, 0) + count
    return dict(sorted(found.items()))
