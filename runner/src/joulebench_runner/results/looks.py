"""What the devices showed beside their energy: power, load, memory, heat and throttling, over any stretches of time.

An exporter looks at each device about once a second. A look stands for the time that is nearer to it than to the looks
before and after it, and for no more than `REACH_NS` on either side; what no look reaches is not known. Values that
cannot be true are counted, and are in no figure. No joules are made from any of this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from joulebench_exporter.diagnostics import CLOCK_REASONS, THROTTLING
from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_bools, as_floats, as_ints

REACH_NS: Final = 1_500_000_000

POWER: Final = "power_watts"
UTILISATION: Final = "utilisation_percent"
MEMORY: Final = "memory_used_bytes"
TEMPERATURE: Final = "temperature_celsius"
FIGURES: Final = (POWER, UTILISATION, MEMORY, TEMPERATURE)
ANY: Final = "any"
"""Stands for all reasons of throttling together."""
REASONS: Final[Mapping[str, int]] = {
    ANY: THROTTLING,
    **{name: bit for bit, name in CLOCK_REASONS.items() if bit & THROTTLING},
}


@dataclass(frozen=True)
class Stretches:
    """Times [start, end), each belonging to one of `groups` groups. All int64[n]."""

    group: Ints
    start_ns: Ints
    end_ns: Ints
    groups: int

    def merged(self) -> "Stretches":
        """The same times without overlaps within a group, so that no moment counts twice."""
        group = np.concatenate([self.group, self.group])
        time_ns = np.concatenate([self.start_ns, self.end_ns])
        change = np.repeat([1, -1], len(self.group))
        # Beginnings before ends, so that stretches which touch become one.
        order = np.lexsort((-change, time_ns, group))
        open_now = np.cumsum(change[order])
        begins = order[(open_now == 1) & (change[order] == 1)]
        ends = order[open_now == 0]
        return Stretches(group[begins], time_ns[begins], time_ns[ends], self.groups)


@dataclass(frozen=True)
class Spread:
    """One figure of one device over each group: float64[groups], NaN where nothing is known."""

    mean: Floats
    highest: Floats
    lowest: Floats
    known_ns: Floats
    """Over how much of the time it is known; 0 where it is not."""


@dataclass(frozen=True)
class Looks:
    """The looks at one device, in order of time, each later than the one before.

    `time_ns`: int64[K]. `values`: float64[K] by figure; NaN where the device does not tell, or not the truth.
    `reasons`: int64[K], bits of CLOCK_REASONS; -1 where it does not tell.
    """

    time_ns: Ints
    values: Mapping[str, Floats]
    reasons: Ints

    @cached_property
    def _edges(self) -> tuple[Ints, Ints]:
        """From when to when each look holds."""
        middle = self.time_ns[:-1] + np.diff(self.time_ns) // 2
        start = np.maximum(self.time_ns - REACH_NS, np.append(-(1 << 62), middle)[: len(self.time_ns)])
        end = np.minimum(self.time_ns + REACH_NS, np.append(middle, 1 << 62)[: len(self.time_ns)])
        return as_ints(start), as_ints(end)

    def spread(self, figure: str, over: Stretches) -> Spread:
        """Mean over time, and extremes. `over` is without overlaps."""
        values = self.values[figure]
        known = ~np.isnan(values)
        total, length = self._sums(np.where(known, values, 0.0), over), self._sums(known.astype(np.float64), over)
        top = _finite(self._highest(np.where(known, values, -np.inf), over))
        bottom = _finite(-self._highest(np.where(known, -values, -np.inf), over))
        # Rounding may carry the mean of equal values beyond them.
        return Spread(np.clip(_ratio(total, length), bottom, top), top, bottom, length)

    def throttling_seconds(self, reason: str, over: Stretches) -> Floats:
        """float64[groups]: how long a reason of REASONS held; NaN where no look tells."""
        known = self.reasons >= 0
        held = known & (self.reasons & REASONS[reason] != 0)
        seconds = self._sums(held.astype(np.float64), over) / 1e9
        return np.where(self._sums(known.astype(np.float64), over) > 0, seconds, np.nan)

    def _sums(self, rate: Floats, over: Stretches) -> Floats:
        """float64[groups]: the integral over each group of what each look says per nanosecond."""
        if not len(self.time_ns):
            return np.zeros(over.groups)
        # Nanoseconds since boot are beyond the precision of a float; those since the first look are not.
        origin = int(self.time_ns[0])
        ends, starts = (self._integral(rate, times - origin, origin) for times in (over.end_ns, over.start_ns))
        return as_floats(np.bincount(over.group, weights=ends - starts, minlength=over.groups))

    def _integral(self, rate: Floats, until_ns: Ints, origin: int) -> Floats:
        start, end = self._edges
        edges = np.stack([start - origin, end - origin], axis=1).ravel()
        sums = np.cumsum(rate * (end - start))
        reached = np.stack([np.append(0.0, sums)[:-1], sums], axis=1).ravel()
        return as_floats(np.interp(until_ns, edges, reached))

    def _highest(self, values: Floats, over: Stretches) -> Floats:
        """float64[groups]: of the looks that hold at any moment of a group; -inf without one."""
        found = np.full(over.groups, -np.inf)
        start, end = self._edges
        first = np.searchsorted(end, over.start_ns, side="right")
        after = np.searchsorted(start, over.end_ns, side="left")
        some = after > first
        if some.any():
            pairs = np.stack([first[some], after[some]], axis=1).ravel()
            tops = np.maximum.reduceat(np.append(values, -np.inf), pairs)[::2]
            np.maximum.at(found, over.group[some], tops)
        return found


def highest(each: Sequence[Floats], groups: int) -> Floats:
    """float64[groups]: the highest among devices; NaN where none tells."""
    return as_floats(np.fmax.reduce([np.full(groups, np.nan), *each]))


def mean(each: Sequence[Floats], groups: int) -> Floats:
    """float64[groups]: the mean of those devices that tell; NaN where none does."""
    known = np.sum([np.zeros(groups), *(~np.isnan(one) for one in each)], axis=0)
    total = np.sum([np.zeros(groups), *(np.nan_to_num(one) for one in each)], axis=0)
    return _ratio(as_floats(total), as_floats(known))


def running_backwards(time_ns: Ints) -> Bools:
    """bool[K]: readings, in the order in which they came, whose clock says that they are older than one before."""
    return as_bools(time_ns < np.maximum.accumulate(time_ns)) if len(time_ns) else np.zeros(0, dtype=np.bool_)


def _finite(values: Floats) -> Floats:
    return np.where(np.isinf(values), np.nan, values)


def _ratio(total: Floats, length: Floats) -> Floats:
    return np.where(length > 0, total / np.where(length > 0, length, 1.0), np.nan)
