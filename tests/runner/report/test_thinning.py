"""Fewer points with the same picture, and texts that share a budget."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.report.thinning import fair_limit, in_flight, keep_extremes, lanes

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=200)


@given(VALUES, st.integers(10, 60))
def test_thinning_keeps_order_ends_and_extremes_within_the_limit(values: list[float], most: int) -> None:
    array = np.array(values)
    rows = keep_extremes(array, most=most)
    assert len(rows) <= max(most, 2)
    assert list(rows) == sorted(set(rows.tolist()))
    assert {0, len(values) - 1} <= set(rows.tolist())
    if not np.isnan(array).all():
        assert np.nanmax(array[rows]) == np.nanmax(array)
        assert np.nanmin(array[rows]) == np.nanmin(array)


def test_few_points_stay_as_they_are() -> None:
    assert keep_extremes(np.arange(5.0), most=10).tolist() == [0, 1, 2, 3, 4]


def test_a_gap_stays_a_gap() -> None:
    values = np.ones(1000)
    values[500] = np.nan
    assert 500 in keep_extremes(values, most=30)


def test_calls_at_the_same_time_get_lanes_of_their_own() -> None:
    start, end = np.array([0.0, 1.0, 2.0, 4.0]), np.array([2.0, 4.0, 3.0, 5.0])
    assert lanes(start, end).tolist() == [0, 1, 0, 0]


def test_an_end_frees_its_place_before_a_start_at_the_same_time() -> None:
    times, counts = in_flight(np.array([0.0, 1.0, 2.0]), np.array([2.0, 3.0, 4.0]))
    assert times.tolist() == [0, 1, 2, 2, 3, 4]
    assert counts.tolist() == [1, 2, 1, 2, 1, 0]


@given(st.lists(st.integers(0, 5000), max_size=50), st.integers(0, 20000))
def test_a_fair_limit_fits_the_budget_and_wastes_none(sizes: list[int], budget: int) -> None:
    limit = fair_limit(np.array(sizes, dtype=np.int64), budget=budget)
    assert sum(min(size, limit) for size in sizes) <= budget
    cut = [size for size in sizes if size > limit]
    assert not cut or sum(min(size, limit + 1) for size in sizes) > budget
