"""Between which values a call's energy lies, given only that power is never negative.

The counter is exact at ticks and silent between them. Of a tick with energy D, cut by a call's edge at the fraction x,
we take x D to lie before the edge; in truth it may be anything from 0 to D. So a start moves energy into the call by at
most x D and out of it by at most (1 - x) D, an end the other way round, times the call's share of the power there. (If
power stays between P_min and P_max inside a tick of length T, the same reasoning gives at most (P_max - P_min) T / 4 an
edge; we do not know these two, so we do not use them.)

A clock error e, with the uncertainty of the tick's own time, moves an edge by e: that is P e at most, with P the
largest mean power of the tick and its neighbours. Rounding moves one millijoule. What the call would have got of resets
and missed ticks is added to the upper bound. The error of the method, and of the sensor's gain, are not in it.
"""

from dataclasses import dataclass

import numpy as np

from joulebench_runner.attribution.arrays import Bools, Floats, Ints
from joulebench_runner.attribution.core import Attribution, Occupancy
from joulebench_runner.attribution.ticks import Ticks

ROUNDING_MJ = 1.0


@dataclass(frozen=True)
class Bounds:
    """`low_mj`, `high_mj`: float64[C]. `seen`, `whole`: bool[C], whether ticks cover some, or all, of a call's time."""

    low_mj: Floats
    high_mj: Floats
    seen: Bools
    whole: Bools


def call_bounds(attribution: Attribution, occupancy: Occupancy, *, calls: int, clock_error_ns: int) -> Bounds:
    """Bounds of the energy that each call got on one device. Claimants 2i and 2i + 1 are call i's."""
    energy = attribution.claimant_mj[: 2 * calls].reshape(calls, 2).sum(axis=1).astype(np.float64)
    low, high = energy.copy(), energy + attribution.lost_mj[: 2 * calls].reshape(calls, 2).sum(axis=1)
    ticks = attribution.ticks
    edges = _call_edges(occupancy, calls)
    seen, whole = np.zeros(calls, dtype=np.bool_), np.zeros(calls, dtype=np.bool_)
    if len(ticks) > 1 and len(edges.call):
        first, last = ticks.time_ns[0], ticks.time_ns[-1]
        seen[edges.call] = (edges.start_ns < last) & (edges.end_ns > first)
        whole[edges.call] = (edges.start_ns >= first) & (edges.end_ns <= last)
        into, out_of = _edge_errors(ticks, edges.start_ns, edges.start_share, clock_error_ns)
        high[edges.call] += into
        low[edges.call] -= out_of
        out_of, into = _edge_errors(ticks, edges.end_ns, edges.end_share, clock_error_ns)
        high[edges.call] += into
        low[edges.call] -= out_of
    return Bounds(np.maximum(low - ROUNDING_MJ, 0.0), high + ROUNDING_MJ, seen, whole)


@dataclass(frozen=True)
class _Edges:
    """First start and last end of each call in flight, with its share of the power there."""

    call: Ints
    start_ns: Ints
    start_share: Floats
    end_ns: Ints
    end_share: Floats


def _call_edges(occupancy: Occupancy, calls: int) -> _Edges:
    segments = occupancy.segments
    own = np.flatnonzero(segments.claimant < 2 * calls)
    own = own[np.lexsort((segments.start_ns[own], segments.claimant[own] // 2))]
    call = segments.claimant[own] // 2
    is_first = np.diff(call, prepend=-1) != 0
    first, last = own[is_first], own[np.append(is_first[1:], True)[: len(own)]]
    start_share, end_share = occupancy.segment_shares
    return _Edges(call[is_first], segments.start_ns[first], start_share[first], segments.end_ns[last], end_share[last])


def _edge_errors(ticks: Ticks, edge_ns: Ints, share: Floats, clock_error_ns: int) -> tuple[Floats, Floats]:
    """What may in truth lie (after, before) each edge though we put it (before, after) it, in mJ, times the share."""
    at = np.clip(np.searchsorted(ticks.time_ns, edge_ns, "right") - 1, 0, len(ticks) - 2)
    before = np.clip((edge_ns - ticks.time_ns[at]) / ticks.lengths_ns[at], 0.0, 1.0)
    # At a tick itself the counter is exact.
    inside = (before > 0) & (before < 1) & (ticks.unusable[at] < 0)
    delta = np.where(inside, ticks.deltas_mj[at], 0)
    watts = np.pad(ticks.watts, 1)
    near = np.maximum(np.maximum(watts[at], watts[at + 1]), watts[at + 2])
    # W x ns = 1e-6 mJ
    clock = near * (clock_error_ns + ticks.bracket_ns[at + 1]) * 1e-6
    return share * (before * delta + clock), share * ((1.0 - before) * delta + clock)
