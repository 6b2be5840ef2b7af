"""Ticks from the journal: one series a device, in the meter's clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Ints, as_ints
from joulebench_runner.attribution.clocks import ClockOffset, Pings, clock_offset
from joulebench_runner.attribution.ticks import SLEPT, TickFlag, Ticks
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.tables import Journal, ints, row_column

SURE_OF_WRAPS_NS: Final = 10_000_000_000
"""A counter that wraps cannot have done so twice in this time: the smallest of RAPL would take 6 kW."""


@dataclass(frozen=True)
class DeviceFacts:
    """What an exporter says about one device."""

    device: str
    name: str
    domain: str
    scope: str
    sensor: str
    sensor_kind: str
    source: str
    tick_period_seconds: float | None
    exporter: str
    boot_id: str
    """The exporter's."""
    counter_origin_uj: int | None = None
    """What the hardware's own counter said at the exporter's first tick; None where it ends with the exporter."""
    counter_wraps_uj: int | None = None


@dataclass(frozen=True)
class Series:
    """All ticks of one device that one boot of the meter's machine saw.

    `ticks.energy_mj` goes on where an exporter was restarted, which counts from 0 again. Where the hardware's counter
    went on meanwhile, one tick with what it moved joins the two, marked as a gap; else it is marked as a reset (what
    was used between them is not known). Ticks in which the machine slept are marked too.
    `exporter_of`: int64[K] into `exporters`. `raw_mj`: int64[K], as each exporter said it. `sequence`: int64[K].
    """

    facts: DeviceFacts
    meter_boot_id: str
    ticks: Ticks
    sequence: Ints
    raw_mj: Ints
    exporters: tuple[str, ...]
    exporter_of: Ints
    clock: ClockOffset
    """The worst of its exporters."""


@dataclass(frozen=True)
class SeriesResult:
    """The series, and why some devices have none."""

    series: list[Series]
    problems: list[str]


@dataclass(frozen=True)
class _Stretch:
    """The ticks of one exporter process, by sequence, each once."""

    exporter: str
    facts: DeviceFacts
    sequence: Ints
    time_ns: Ints
    bracket_ns: Ints
    energy_mj: Ints
    flags: Ints
    clock: ClockOffset


def device_facts(journal: Journal) -> dict[tuple[str, str], DeviceFacts]:
    """By exporter and device; the latest row counts."""
    rows = journal.tables[Kind.DEVICE].to_pylist()
    names = list(DeviceFacts.__dataclass_fields__)
    return {(row["exporter"], row["device"]): DeviceFacts(**{name: row[name] for name in names}) for row in rows}


def all_series(journal: Journal) -> SeriesResult:
    """One series for each device and boot of the meter."""
    facts, found, problems = device_facts(journal), [], []
    table = journal.tables[Kind.TICKS]
    for boot in pc.unique(row_column(table, "boot_id")).to_pylist():
        of_boot = table.filter(pc.equal(row_column(table, "boot_id"), boot))
        for device in pc.unique(of_boot["device"]).to_pylist():
            rows = of_boot.filter(pc.equal(of_boot["device"], device))
            by_machine: dict[str, list[_Stretch]] = {}
            for stretch in _stretches(journal, rows, boot, facts):
                if isinstance(stretch, str):
                    problems.append(f"{device}: {stretch}")
                else:
                    by_machine.setdefault(facts[stretch.exporter, device].boot_id, []).append(stretch)
            sleeps = _sleeps(journal, boot)
            found += [_chain(parts[-1].facts, boot, parts, sleeps=sleeps) for parts in by_machine.values()]
    return SeriesResult(found, problems)


def _stretches(
    journal: Journal, rows: pa.Table, boot: str, facts: dict[tuple[str, str], DeviceFacts]
) -> Iterator[_Stretch | str]:
    for exporter in pc.unique(rows["exporter"]).to_pylist():
        part = rows.filter(pc.equal(rows["exporter"], exporter))
        known = facts.get((exporter, part["device"][0].as_py()))
        if known is None:
            yield f"exporter {exporter} did not describe it"
            continue
        columns = {name: _flat(part, name) for name in ("time_ns", "bracket_ns", "energy_mj", "flags")}
        clock = exporter_clock(journal, exporter, boot, same_boot=known.boot_id == boot, times=columns["time_ns"])
        if clock is None:
            yield f"no ping of exporter {exporter} was answered, so its clock cannot be related to the meter's"
            continue
        sequence, first = np.unique(_sequences(part), return_index=True)
        sorted_columns = {name: values[first] for name, values in columns.items()}
        sorted_columns["time_ns"] = clock.to_meter(sorted_columns["time_ns"])
        yield _Stretch(exporter=exporter, facts=known, sequence=sequence, clock=clock, **sorted_columns)


def _flat(rows: pa.Table, name: str) -> Ints:
    return as_ints(pc.cast(pc.list_flatten(rows[name]), pa.int64()).to_numpy())


def _sequences(rows: pa.Table) -> Ints:
    """int64 a tick: a batch numbers its ticks upwards from `first_sequence`."""
    counts = pc.list_value_length(rows["time_ns"]).to_numpy()
    firsts = np.cumsum(counts) - counts
    within = np.arange(int(counts.sum())) - np.repeat(firsts, counts)
    return as_ints(np.repeat(ints(rows, "first_sequence"), counts) + within)


def exporter_clock(journal: Journal, exporter: str, boot: str, *, same_boot: bool, times: Ints) -> ClockOffset | None:
    """How an exporter's clock relates to the meter's of one boot around some of its times; None without a ping."""
    table = journal.tables[Kind.PING]
    rows = table.filter(pc.and_(pc.equal(table["exporter"], exporter), pc.equal(row_column(table, "boot_id"), boot)))
    pings = Pings(*(ints(rows, name) for name in ("t0_ns", "t1_ns", "t2_ns", "t3_ns")))
    if not len(times):
        return clock_offset(pings, same_boot=same_boot, start_ns=0, end_ns=0)
    offset = int(pings.offset_ns[0]) if len(pings.offset_ns) else 0
    return clock_offset(
        pings, same_boot=same_boot, start_ns=int(times.min()) - offset, end_ns=int(times.max()) - offset
    )


def _sleeps(journal: Journal, boot: str) -> list[tuple[int, int]]:
    """When the meter's machine slept during one boot: each time within [start, end]."""
    table = journal.tables[Kind.SUSPEND]
    rows = table.filter(pc.equal(row_column(table, "boot_id"), boot))
    return list(zip(ints(rows, "start_ns").tolist(), ints(rows, "end_ns").tolist(), strict=True))


def _moved_mj(before: _Stretch, last: int, after: _Stretch, first: int) -> int | None:
    """What the hardware's counter moved between a tick of one exporter and one of the next; None: not known."""
    origin_uj, next_uj = before.facts.counter_origin_uj, after.facts.counter_origin_uj
    wraps_uj = after.facts.counter_wraps_uj
    if origin_uj is None or next_uj is None or wraps_uj != before.facts.counter_wraps_uj:
        return None
    moved_uj = next_uj + int(after.energy_mj[first]) * 1000 - origin_uj - int(before.energy_mj[last]) * 1000
    if wraps_uj is not None:
        if after.time_ns[first] - before.time_ns[last] > SURE_OF_WRAPS_NS:
            return None
        moved_uj %= wraps_uj
    # A counter that fell back was reset.
    return moved_uj // 1000 if moved_uj >= 0 else None


def _chain(
    facts: DeviceFacts, boot: str, stretches: list[_Stretch], *, sleeps: Sequence[tuple[int, int]] = ()
) -> Series:
    """Exporters one after the other; each tick later than all before it."""
    stretches = sorted((s for s in stretches if len(s.sequence)), key=lambda s: int(s.time_ns[0]))
    parts: dict[str, list[Ints]] = {
        name: [] for name in ("time", "energy", "flags", "bracket", "sequence", "raw", "of")
    }
    last_ns, total_mj = -(1 << 62), 0
    joined_to: tuple[_Stretch, int] | None = None
    for place, stretch in enumerate(stretches):
        keep = np.flatnonzero(stretch.time_ns > np.maximum.accumulate(np.append(last_ns, stretch.time_ns[:-1])))
        if not len(keep):
            continue
        raw, flags = stretch.energy_mj[keep], stretch.flags[keep].copy()
        if joined_to is not None:
            moved_mj = _moved_mj(*joined_to, stretch, int(keep[0]))
            flags[0] |= TickFlag.RESET if moved_mj is None else TickFlag.GAP
            total_mj += moved_mj or 0
        parts["time"].append(stretch.time_ns[keep])
        parts["energy"].append(raw - raw[0] + total_mj)
        parts["flags"].append(flags)
        parts["bracket"].append(stretch.bracket_ns[keep])
        parts["sequence"].append(stretch.sequence[keep])
        parts["raw"].append(raw)
        parts["of"].append(np.full(len(keep), place, dtype=np.int64))
        last_ns, total_mj = int(stretch.time_ns[keep][-1]), int(parts["energy"][-1][-1])
        joined_to = stretch, int(keep[-1])
    joined = {name: np.concatenate(lots) if lots else np.zeros(0, dtype=np.int64) for name, lots in parts.items()}
    period = facts.tick_period_seconds
    _mark_sleeps(joined["time"], joined["flags"], sleeps)
    return Series(
        facts=facts,
        meter_boot_id=boot,
        ticks=Ticks(
            joined["time"],
            joined["energy"],
            joined["flags"],
            joined["bracket"],
            round(period * 1e9) if period else None,
        ),
        sequence=joined["sequence"],
        raw_mj=joined["raw"],
        exporters=tuple(stretch.exporter for stretch in stretches),
        exporter_of=joined["of"],
        clock=max((stretch.clock for stretch in stretches), key=lambda clock: clock.bound_ns),
    )


def _mark_sleeps(time_ns: Ints, flags: Ints, sleeps: Sequence[tuple[int, int]]) -> None:
    """Mark each tick that may hold what was used while the machine slept: its time on our clock does not show it."""
    begins = np.append(-(1 << 62), time_ns[:-1])[: len(time_ns)]
    for start_ns, end_ns in sleeps:
        flags[(time_ns >= start_ns) & (begins <= end_ns)] |= SLEPT
