"""Error bounds hold against a truth that only the test knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.attribution.bounds import Bounds, call_bounds
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.core import Occupancy, Segments, attribute
from joulebench_runner.attribution.ticks import TickFlag, Ticks

MS = 1_000_000


def bounds_of(ticks: Ticks, start: int, end: int, *, clock_error_ns: int = 0) -> Bounds:
    """Bounds of one call, alone, in a window that is longer than it."""
    segments = Segments(*(np.array([value]) for value in (0, start, end, 1, 0)))
    bucket = np.full(2, int(Bucket.QUERIES))
    occupancy = Occupancy(segments, bucket, start_ns=min(start, 0), end_ns=max(end, 10_000 * MS))
    return call_bounds(attribute(ticks, occupancy), occupancy, calls=1, clock_error_ns=clock_error_ns)


def make_ticks(times: list[int], energy: list[int], *, bracket: int = 0, flags: dict[int, int] | None = None) -> Ticks:
    count = len(times)
    all_flags = np.array([(flags or {}).get(place, 0) for place in range(count)], dtype=np.int64)
    return Ticks(np.array(times), np.array(energy), all_flags, np.full(count, bracket), 100 * MS)


@given(
    st.lists(st.integers(0, 500), min_size=20, max_size=60),
    st.integers(0, 590),
    st.integers(1, 590),
    st.integers(2, 12),
)
def test_the_truth_lies_between_the_bounds(milliwatts: list[int], start: int, length: int, period: int) -> None:
    # The truth: power is constant for 10 ms each; the counter shows it only every `period` x 10 ms.
    energy = np.concatenate([[0], np.cumsum(np.array(milliwatts))])
    seen = np.arange(0, len(energy), period)
    ticks = make_ticks((seen * 10 * MS).tolist(), energy[seen].tolist())
    last = int(seen[-1]) * 10
    start = min(start, last - 1)
    end = min(start + length, last)

    found = bounds_of(ticks, start * MS, end * MS)

    true_mj = np.interp(end / 10, np.arange(len(energy)), energy) - np.interp(
        start / 10, np.arange(len(energy)), energy
    )
    assert found.low_mj[0] <= true_mj <= found.high_mj[0]
    assert found.whole.tolist() == [True]


def test_a_call_shorter_than_a_tick_lies_between_nothing_and_all_of_it() -> None:
    found = bounds_of(make_ticks([0, 100 * MS, 200 * MS], [0, 5_000, 10_000]), 120 * MS, 140 * MS)

    assert found.low_mj.tolist() == [0.0]
    assert found.high_mj.tolist() == pytest.approx([5_001.0])


def test_edges_on_ticks_leave_only_rounding() -> None:
    found = bounds_of(make_ticks([0, 100 * MS, 200 * MS, 300 * MS], [0, 5_000, 9_000, 9_500]), 100 * MS, 200 * MS)

    assert found.low_mj.tolist() == pytest.approx([3_999.0])
    assert found.high_mj.tolist() == pytest.approx([4_001.0])


def test_a_call_too_short_to_see_may_still_have_used_something() -> None:
    found = bounds_of(make_ticks([0, 100 * MS], [0, 0]), 10 * MS, 20 * MS)

    assert found.low_mj.tolist() == [0.0]
    assert found.high_mj[0] > 0


def test_clock_error_and_tick_uncertainty_widen_the_bounds() -> None:
    times, energy = [0, 100 * MS, 200 * MS, 300 * MS], [0, 10_000, 20_000, 30_000]
    exact = bounds_of(make_ticks(times, energy), 50 * MS, 250 * MS)
    loose = bounds_of(make_ticks(times, energy, bracket=2 * MS), 50 * MS, 250 * MS, clock_error_ns=3 * MS)

    # 100 W x 5 ms at either edge.
    assert loose.high_mj[0] - exact.high_mj[0] == pytest.approx(2 * 500.0)
    assert exact.low_mj[0] - loose.low_mj[0] == pytest.approx(2 * 500.0)


def test_what_a_reset_swallowed_is_in_the_upper_bound() -> None:
    ticks = make_ticks([0, 100 * MS, 200 * MS, 300 * MS], [0, 10_000, 20_000, 30_000], flags={2: TickFlag.RESET})

    found = bounds_of(ticks, 0, 300 * MS)

    assert found.high_mj[0] >= 30_000
    assert found.low_mj[0] <= 20_000


def test_time_without_ticks_is_said() -> None:
    ticks = make_ticks([100 * MS, 200 * MS], [0, 1_000])

    assert bounds_of(ticks, 50 * MS, 150 * MS).whole.tolist() == [False]
    assert bounds_of(ticks, 50 * MS, 150 * MS).seen.tolist() == [True]
    assert bounds_of(ticks, 300 * MS, 400 * MS).seen.tolist() == [False]
