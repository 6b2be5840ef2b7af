"""Requests on the measured server that are not ours, as far as its own count of running requests shows them."""

import numpy as np

from joulebench_runner.attribution.arrays import Floats, Ints
from joulebench_runner.attribution.core import Segments

MAX_APART_NS = 10_000_000_000
"""Two scrapes that are further apart say nothing about the time between them."""


def foreign_segments(*, time_ns: Ints, running: Floats, own_in_flight: Ints, claimant: int) -> Segments:
    """One claimant's segments from the scrapes of one server, by time.

    Between two consecutive scrapes that both show more running requests than we had in flight, the smaller excess is
    taken for foreign requests, each with an equal share. `running` is NaN where the server did not say.
    """
    excess = np.floor(np.nan_to_num(running - own_in_flight, nan=0.0)).astype(np.int64)
    count = np.minimum(excess[:-1], excess[1:])
    starts, ends = time_ns[:-1], time_ns[1:]
    seen = np.flatnonzero((count > 0) & (ends > starts) & (ends - starts <= MAX_APART_NS))
    return Segments(
        np.full(len(seen), claimant, dtype=np.int64),
        starts[seen],
        ends[seen],
        np.zeros(len(seen), dtype=np.int64),
        count[seen],
    )


def gap_segments(busy: Segments, *, start_ns: int, end_ns: int) -> Segments:
    """One claimant's segments (claimant 0) in [start, end): all the time in which nobody of `busy` was in flight."""
    inside = busy.within(start_ns, end_ns)
    order = np.argsort(inside.start_ns, kind="stable")
    # Where each next one starts, and until when all before it lasted.
    starts = np.append(inside.start_ns[order], end_ns)
    until = np.maximum.accumulate(np.append(start_ns, inside.end_ns[order]))
    gaps = np.flatnonzero(starts > until)
    none = np.zeros(len(gaps), dtype=np.int64)
    return Segments(none, until[gaps], starts[gaps], none.copy(), np.ones(len(gaps), dtype=np.int64))
