"""The clocks of several meters, which may be on machines of their own, related to the clock of one of them.

Two meters that pinged the same exporter know its clock, each within a bound; so they know each other's within the sum
of the two. Meters of one boot share their clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Ints, as_ints
from joulebench_runner.attribution.clocks import ClockOffset
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.series import exporter_clock
from joulebench_runner.results.tables import ClockPair, Journal, codes, ints, row_column

BY_TIME_OF_DAY: Final = "time of day"


@dataclass(frozen=True)
class Relation:
    """`time + shift_ns` is the reference's time, to within `bound_ns`."""

    shift_ns: int
    bound_ns: int
    basis: str
    """In words: where this is known from."""


SAME: Final = Relation(0, 0, "the same boot")


@dataclass(frozen=True)
class MeterClocks:
    """How the clock of each boot relates to that of `reference`."""

    reference: str
    relations: Mapping[str, Relation]

    @property
    def bound_ns(self) -> int:
        """The worst of all."""
        return max((relation.bound_ns for relation in self.relations.values()), default=0)


def meter_clocks(journal: Journal) -> MeterClocks:
    """Relate the clocks of all boots in a journal of several meters. The reference is the boot that knows the most
    exporters; of two that know as many, the first.
    """
    boots = list(dict.fromkeys(pair.boot_id for pair in journal.clocks))
    known = {boot: _exporters(journal, boot) for boot in boots}
    reference = max(boots, key=lambda boot: len(known[boot]), default="")
    relations = {boot: SAME if boot == reference else _relation(journal, boot, reference, known) for boot in boots}
    return MeterClocks(reference, relations)


def _exporters(journal: Journal, boot: str) -> dict[str, str]:
    """The exporters that meters of a boot pinged, each with its own boot."""
    table = journal.tables[Kind.PING]
    rows = table.filter(pc.equal(row_column(table, "boot_id"), boot))
    return {row["exporter"]: row["boot_id"] for row in rows.select(["exporter", "boot_id"]).to_pylist()}


def _relation(journal: Journal, boot: str, reference: str, known: Mapping[str, Mapping[str, str]]) -> Relation:
    common = {exporter: own for exporter, own in known[boot].items() if exporter in known[reference]}
    found = [
        Relation(there.offset_ns - here.offset_ns, there.bound_ns + here.bound_ns, f"pings of exporter {exporter}")
        for exporter, own in common.items()
        for there, here in _both(journal, exporter, own, boot, reference)
    ]
    return min(found, key=lambda one: one.bound_ns) if found else _by_time_of_day(journal.clocks, boot, reference)


def _both(
    journal: Journal, exporter: str, own_boot: str, boot: str, reference: str
) -> Iterator[tuple[ClockOffset, ClockOffset]]:
    """One exporter's clock as two boots know it."""
    times = _answered_ns(journal, exporter)
    there = exporter_clock(journal, exporter, boot, same_boot=own_boot == boot, times=times)
    here = exporter_clock(journal, exporter, reference, same_boot=own_boot == reference, times=times)
    if there is not None and here is not None:
        yield there, here


def _answered_ns(journal: Journal, exporter: str) -> Ints:
    table = journal.tables[Kind.PING]
    return ints(table.filter(pc.equal(table["exporter"], exporter)), "t1_ns")


def _by_time_of_day(clocks: Sequence[ClockPair], boot: str, reference: str) -> Relation:
    """By what both machines held for the time of day, about which nothing is known."""
    ahead = {name: _ahead_ns([pair for pair in clocks if pair.boot_id == name]) for name in (boot, reference)}
    return Relation(ahead[boot] - ahead[reference], 0, BY_TIME_OF_DAY)


def _ahead_ns(pairs: Sequence[ClockPair]) -> int:
    """How much the time of day is ahead of the monotonic clock: the middle of all pairs."""
    each = sorted(pair.realtime_ns - pair.monotonic_ns for pair in pairs)
    return each[len(each) // 2]


def by_row(journal_table: pa.Table, of_boot: Callable[[Relation], int], clocks: MeterClocks) -> Ints:
    """int64[N]: something of the relation of each row's boot."""
    boots = codes(row_column(journal_table, "boot_id"))
    values = np.array([*(of_boot(clocks.relations[name]) for name in boots.names), 0], dtype=np.int64)
    return as_ints(values[boots.codes])
