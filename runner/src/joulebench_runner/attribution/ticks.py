"""One device's ticks: when its counter moved and what it then said."""

from dataclasses import dataclass, field
from enum import IntFlag
from functools import cached_property
from typing import Final

import numpy as np

from joulebench_runner.attribution.arrays import Floats, Ints
from joulebench_runner.attribution.buckets import Bucket

MISSED_PERIODS = 10
MISSED_NS = 1_000_000_000
"""A pause of more than ten tick periods that is also longer than a second hides too much to be split over calls."""


class TickFlag(IntFlag):
    """What the exporter says about a tick."""

    GAP = 1
    RESET = 2
    WRAPPED = 4
    INTEGRATED = 8


SLEPT: Final = 1 << 16
"""A flag of our own: the machine slept within this tick, as the meter noticed."""


@dataclass(frozen=True)
class Ticks:
    """K ticks, by time. Between two of them energy is taken to flow evenly.

    `time_ns`: int64[K], strictly increasing, any clock (the calls' clock, for attribution).
    `energy_mj`: int64[K], cumulative. `flags`: int64[K]. `bracket_ns`: int64[K], how much earlier the counter may have
    moved.
    `period_ns`: the sensor's nominal period; null: the median of the intervals.
    """

    time_ns: Ints
    energy_mj: Ints
    flags: Ints
    bracket_ns: Ints
    period_ns: int | None = field(default=None)

    def __post_init__(self) -> None:
        if not len(self.time_ns) == len(self.energy_mj) == len(self.flags) == len(self.bracket_ns):
            raise ValueError("columns of ticks differ in length")
        if np.any(np.diff(self.time_ns) <= 0):
            raise ValueError("ticks are not in order of time")

    def __len__(self) -> int:
        return len(self.time_ns)

    @cached_property
    def lengths_ns(self) -> Ints:
        """int64[K-1]: the time that ends with each tick but the first."""
        return np.diff(self.time_ns)

    @cached_property
    def deltas_mj(self) -> Ints:
        """int64[K-1]: what was used in that time. Where a counter fell back it is not known, and counts as 0."""
        return np.maximum(np.diff(self.energy_mj), 0)

    @cached_property
    def unusable(self) -> Ints:
        """int64[K-1]: the bucket that takes all of this tick (reset, missed ticks), or -1 for a good tick."""
        period = self.period_ns or (int(np.median(self.lengths_ns)) if len(self) > 1 else 0)
        missed = self.lengths_ns > max(MISSED_PERIODS * period, MISSED_NS)
        missed |= self.flags[1:] & SLEPT != 0
        reset = (self.flags[1:] & TickFlag.RESET != 0) | (np.diff(self.energy_mj) < 0)
        return np.where(reset, np.int64(Bucket.COUNTER_RESET), np.where(missed, np.int64(Bucket.MISSED_TICKS), -1))

    def over(self, start_ns: int, end_ns: int) -> "Ticks":
        """The fewest ticks that span [start, end), as far as there are any."""
        first = max(int(np.searchsorted(self.time_ns, start_ns, "right")) - 1, 0)
        last = int(np.searchsorted(self.time_ns, end_ns, "left"))
        part = slice(first, last + 1)
        return Ticks(
            self.time_ns[part],
            self.energy_mj[part],
            self.flags[part],
            self.bracket_ns[part],
            self.period_ns or (int(np.median(self.lengths_ns)) if len(self) > 1 else None),
        )

    def covered_ns(self, start_ns: int, end_ns: int) -> int:
        """How much of [start, end) lies in good ticks."""
        inside = np.minimum(self.time_ns[1:], end_ns) - np.maximum(self.time_ns[:-1], start_ns)
        return int(np.maximum(inside, 0)[self.unusable < 0].sum())

    def energy_between_mj(self, start_ns: int, end_ns: int) -> float:
        """Energy of the part of [start, end) that lies in good ticks, linear inside a tick."""
        inside = np.maximum(np.minimum(self.time_ns[1:], end_ns) - np.maximum(self.time_ns[:-1], start_ns), 0)
        good = self.unusable < 0
        return float((inside / self.lengths_ns * self.deltas_mj)[good].sum())

    @property
    def watts(self) -> Floats:
        """float64[K-1]: mean power in each tick."""
        return self.deltas_mj * 1e6 / self.lengths_ns
