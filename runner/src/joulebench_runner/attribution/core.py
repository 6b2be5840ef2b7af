"""The split itself: one device's ticks over everybody who was in flight, exact in integer millijoules.

In a moment with n claims in flight, m of them without a known weight, a claim without a weight gets 1/n of the power,
and the others share the remaining (n - m)/n in proportion to their weights. Idle is the time with n = 0.

1. `Occupancy` cuts the window at every edge of a segment; between two edges n, m and the sum of weights W are constant.
   It is worked out once and used for all devices.
2. In each tick the real shares of the buckets are rounded by largest remainder, so a tick's row sums to its delta.
3. What a bucket got over the run, an integer, is split over its claimants in proportion to their real energies, again
by largest remainder. So the claimants of a bucket sum to it exactly.

Each rounding moves a number by less than one millijoule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_floats, as_ints
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.ranges import RangeSums
from joulebench_runner.attribution.rounding import split, split_rows
from joulebench_runner.attribution.ticks import Ticks

MAX_RATE = 1 << 44
"""Keeps sums of half a million rates inside int64."""


@dataclass(frozen=True)
class Segments:
    """S stretches of time in which a claimant was in flight with constant weight; a claimant may have many.

    `claimant`: int64[S]. `start_ns`, `end_ns`: int64[S], end exclusive. `rate`: int64[S], weight (1 to MAX_RATE), or 0
    for a segment that is split equally. `equal`: int64[S], how many equal shares it takes: 0 with a rate, else 1 or
    more.
    """

    claimant: Ints
    start_ns: Ints
    end_ns: Ints
    rate: Ints
    equal: Ints

    def __len__(self) -> int:
        return len(self.claimant)

    def within(self, start_ns: int, end_ns: int) -> "Segments":
        """The segments cut to [start, end); what has no length is left out."""
        starts, ends = np.maximum(self.start_ns, start_ns), np.minimum(self.end_ns, end_ns)
        keep = ends > starts
        return Segments(self.claimant[keep], starts[keep], ends[keep], self.rate[keep], self.equal[keep])

    @classmethod
    def concatenate(cls, *parts: "Segments") -> "Segments":
        """Several lots of segments as one."""
        names = ("claimant", "start_ns", "end_ns", "rate", "equal")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Occupancy:
    """Who was in flight when, in one window [start, end).

    `claimant_bucket`: int64[C], the bucket of each claimant.
    """

    def __init__(self, segments: Segments, claimant_bucket: Ints, *, start_ns: int, end_ns: int) -> None:
        if end_ns <= start_ns:
            raise ValueError(f"the window ends ({end_ns} ns) before it starts ({start_ns} ns)")
        self.start_ns, self.end_ns = start_ns, end_ns
        self.claimant_bucket = claimant_bucket
        self.segments = segments.within(start_ns, end_ns)
        edges = np.concatenate([self.segments.start_ns, self.segments.end_ns, [start_ns, end_ns]])
        edges.sort()
        self.breaks: Ints = _distinct(edges)
        self.first = np.searchsorted(self.breaks, self.segments.start_ns)
        self.stop = np.searchsorted(self.breaks, self.segments.end_ns)
        weighted = (self.segments.rate > 0).astype(np.int64)
        equal, rates = self._running(self.segments.equal), self._running(self.segments.rate)
        in_flight = equal + self._running(weighted)
        self.per_equal_share: Floats = 1.0 / np.maximum(in_flight, 1)
        """float64[J]: part of the power that one equal share gets, between two breaks."""
        self.per_weight: Floats = (in_flight - equal) * self.per_equal_share / np.maximum(rates, 1)
        """float64[J]: part of the power that one unit of weight gets."""
        self.idle: Floats = (in_flight == 0).astype(np.float64)

    def _running(self, values: Ints, chosen: Ints | slice = slice(None)) -> Ints:
        """Sum of a value over the segments in flight, exact, between any two breaks."""
        steps = np.zeros(len(self.breaks), dtype=np.int64)
        np.add.at(steps, self.first[chosen], values[chosen])
        np.subtract.at(steps, self.stop[chosen], values[chosen])
        return np.cumsum(steps)[:-1]

    @cached_property
    def shares(self) -> Mapping[Bucket, Floats]:
        """Part of the power that each bucket gets between two breaks; together 1 everywhere."""
        buckets = self.claimant_bucket[self.segments.claimant]
        shares = {Bucket.IDLE: self.idle}
        for bucket in np.flatnonzero(np.bincount(buckets)):
            chosen = np.flatnonzero(buckets == bucket)
            weights = self._running(self.segments.rate, chosen)
            equal = self._running(self.segments.equal, chosen)
            shares[Bucket(int(bucket))] = weights * self.per_weight + equal * self.per_equal_share
        return shares

    @cached_property
    def segment_shares(self) -> tuple[Floats, Floats]:
        """Part of the power that each segment gets at its start and at its end."""
        first, last = self.first, self.stop - 1
        rate, equal = self.segments.rate, self.segments.equal
        return (
            rate * self.per_weight[first] + equal * self.per_equal_share[first],
            rate * self.per_weight[last] + equal * self.per_equal_share[last],
        )

    @cached_property
    def _ranges(self) -> tuple[Ints, RangeSums, Ints, RangeSums]:
        weighted, equal = np.flatnonzero(self.segments.rate > 0), np.flatnonzero(self.segments.equal > 0)
        size = len(self.breaks) - 1
        return (
            weighted,
            RangeSums(self.first[weighted], self.stop[weighted], size),
            equal,
            RangeSums(self.first[equal], self.stop[equal], size),
        )

    def claims(self, energy: Floats) -> Floats:
        """Each claimant's part (float64[C]) of energy given between any two breaks (float64[J])."""
        weighted, weighted_sums, equal, equal_sums = self._ranges
        part = np.zeros(len(self.segments))
        part[weighted] = self.segments.rate[weighted] * weighted_sums.sums(energy * self.per_weight)
        part[equal] = self.segments.equal[equal] * equal_sums.sums(energy * self.per_equal_share)
        return as_floats(np.bincount(self.segments.claimant, weights=part, minlength=len(self.claimant_bucket)))


def _distinct(ordered: Ints) -> Ints:
    """Equal neighbours once. (`np.unique` hashes, which takes many times as long as sorting does.)"""
    return ordered[np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))]


@dataclass(frozen=True)
class Attribution:
    """What one device used in one window, and who used it.

    `ticks`: the K ticks that span the window. `matrix_mj`: int64[K-1, len(Bucket)], a row sums to its tick's delta.
    `claimant_mj`: int64[C]. `lost_mj`: float64[C], what claimants would have got of resets and missed ticks.
    """

    ticks: Ticks
    matrix_mj: Ints
    claimant_mj: Ints
    claimant_bucket: Ints
    lost_mj: Floats

    @property
    def totals_mj(self) -> Ints:
        """int64[len(Bucket)]: what each bucket got."""
        return as_ints(self.matrix_mj.sum(axis=0))

    @property
    def total_mj(self) -> int:
        """What the counter says."""
        return int(self.ticks.deltas_mj.sum())

    def conserved(self) -> bool:
        """Whether every tick and every bucket adds up, by `==` on integers."""
        claimed = np.zeros(len(Bucket), dtype=np.int64)
        np.add.at(claimed, self.claimant_bucket, self.claimant_mj)
        own = np.setdiff1d(np.arange(len(Bucket)), _WITHOUT_CLAIMANTS)
        return bool(
            np.array_equal(self.matrix_mj.sum(axis=1), self.ticks.deltas_mj)
            and np.array_equal(claimed[own], self.totals_mj[own])
            and (self.matrix_mj >= 0).all()
        )


_WITHOUT_CLAIMANTS = [Bucket.SHARED, Bucket.IDLE, Bucket.BOUNDARY, Bucket.COUNTER_RESET, Bucket.MISSED_TICKS]


def attribute(ticks: Ticks, occupancy: Occupancy) -> Attribution:
    """Split one device's ticks over the claimants and buckets of a window. Ticks are in the clock of the segments."""
    ticks = ticks.over(occupancy.start_ns, occupancy.end_ns)
    if len(ticks) < 2:
        return _nothing(ticks, occupancy)
    pieces = _Pieces.cut(ticks, occupancy)
    matrix = _bucket_matrix(ticks, occupancy, pieces)
    good = ticks.unusable < 0
    real = occupancy.claims(pieces.energy_by_interval(good))
    lost = np.zeros_like(real) if good.all() else occupancy.claims(pieces.energy_by_interval(~good))
    return Attribution(
        ticks, matrix, _claimants(matrix.sum(axis=0), real, occupancy.claimant_bucket), occupancy.claimant_bucket, lost
    )


def _nothing(ticks: Ticks, occupancy: Occupancy) -> Attribution:
    claimants = len(occupancy.claimant_bucket)
    return Attribution(
        ticks,
        np.zeros((max(len(ticks) - 1, 0), len(Bucket)), dtype=np.int64),
        np.zeros(claimants, dtype=np.int64),
        occupancy.claimant_bucket,
        np.zeros(claimants),
    )


@dataclass(frozen=True)
class _Pieces:
    """The ticks cut at the breaks: in each of the G pieces both power and everybody's share are constant."""

    energy: Floats  # float64[G], mJ
    tick: Ints  # int64[G]: which tick it is part of
    interval: Ints  # int64[G]: which interval between breaks; -1 before the window, J after it
    firsts: Ints  # int64[K-1]: the first piece of each tick
    intervals: int  # J

    @classmethod
    def cut(cls, ticks: Ticks, occupancy: Occupancy) -> "_Pieces":
        times, breaks = ticks.time_ns, occupancy.breaks
        inside = breaks[(breaks > times[0]) & (breaks < times[-1])]
        grid = np.concatenate([times, inside])
        grid.sort(kind="stable")  # two sorted runs: a merge
        grid = _distinct(grid)
        at = np.searchsorted(grid, times)
        tick = np.repeat(np.arange(len(times) - 1), np.diff(at))
        return cls(
            energy=np.diff(grid) * (ticks.deltas_mj / ticks.lengths_ns)[tick],
            tick=tick,
            interval=np.searchsorted(breaks, grid[:-1], "right") - 1,
            firsts=at[:-1],
            intervals=len(breaks) - 1,
        )

    @cached_property
    def inside(self) -> slice:
        """The pieces inside the window."""
        first, last = np.searchsorted(self.interval, [0, self.intervals])
        return slice(int(first), int(last))

    def energy_by_tick(self, share: Floats) -> Floats:
        """float64[K-1]: energy of a bucket in each tick, from its share between any two breaks."""
        parts = np.zeros(len(self.energy))
        parts[self.inside] = self.energy[self.inside] * share[self.interval[self.inside]]
        return np.add.reduceat(parts, self.firsts)

    def outside_by_tick(self) -> Floats:
        """float64[K-1]: energy of each tick outside the window."""
        parts = self.energy.copy()
        parts[self.inside] = 0.0
        return np.add.reduceat(parts, self.firsts)

    def energy_by_interval(self, chosen: Bools) -> Floats:
        """float64[J]: energy between any two breaks, from the chosen ticks only."""
        weights = (self.energy * chosen[self.tick])[self.inside]
        return as_floats(np.bincount(self.interval[self.inside], weights=weights, minlength=self.intervals))


def _bucket_matrix(ticks: Ticks, occupancy: Occupancy, pieces: _Pieces) -> Ints:
    """Integer millijoules by tick and bucket."""
    quotas = {bucket: pieces.energy_by_tick(share) for bucket, share in occupancy.shares.items()}
    quotas[Bucket.BOUNDARY] = pieces.outside_by_tick()
    _send_unusable(ticks, quotas)
    columns = sorted(quotas)
    matrix = np.zeros((len(ticks) - 1, len(Bucket)), dtype=np.int64)
    matrix[:, columns] = split_rows(ticks.deltas_mj, np.column_stack([quotas[column] for column in columns]))
    return matrix


def _send_unusable(ticks: Ticks, quotas: dict[Bucket, Floats]) -> None:
    """All of a reset or of a long gap inside the window is nobody's."""
    for bucket in (Bucket.COUNTER_RESET, Bucket.MISSED_TICKS):
        rows = np.flatnonzero(ticks.unusable == bucket)
        if len(rows):
            for other, energy in quotas.items():
                if other is not Bucket.BOUNDARY:
                    energy[rows] = 0.0
            quotas[bucket] = np.zeros(len(ticks) - 1)
            quotas[bucket][rows] = np.maximum(ticks.deltas_mj[rows] - quotas[Bucket.BOUNDARY][rows], 0.0)


def _claimants(totals: Ints, real: Floats, claimant_bucket: Ints) -> Ints:
    """Integer millijoules by claimant, so that those of a bucket sum to it."""
    parts = np.zeros(len(real), dtype=np.int64)
    for bucket in np.flatnonzero(np.bincount(claimant_bucket)):
        chosen = np.flatnonzero(claimant_bucket == bucket)
        parts[chosen] = split(int(totals[bucket]), real[chosen])
    return parts
