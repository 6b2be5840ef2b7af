"""Largest remainder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.attribution.arrays import Floats
from joulebench_runner.attribution.rounding import split, split_rows

weights = (
    st.lists(st.just(0.0) | st.floats(1e-6, 1e6), min_size=1, max_size=12).map(np.array).filter(lambda w: w.sum() > 0)
)


@given(st.integers(0, 10**12), weights)
def test_parts_sum_to_the_total_and_move_by_less_than_one(total: int, shares: Floats) -> None:
    parts = split(total, shares)

    assert parts.sum() == total
    assert np.abs(parts - total * shares / shares.sum()).max() < 1 + 1e-3
    assert (parts[shares == 0] == 0).all()


@given(st.lists(st.tuples(st.integers(0, 10**9), weights.filter(lambda w: len(w) >= 4)), max_size=20))
def test_rows_sum_to_their_totals(rows: list[tuple[int, Floats]]) -> None:
    rows = [(total, shares[:4]) for total, shares in rows if shares[:4].sum() > 0]
    totals = np.array([total for total, _ in rows], dtype=np.int64)
    quotas = np.array([total * (shares / shares.sum()) for total, shares in rows]).reshape(-1, 4)

    parts = split_rows(totals, quotas)

    assert (parts.sum(axis=1) == totals).all()
    assert (parts[quotas == 0] == 0).all()


def test_what_is_left_goes_to_the_largest_remainders_and_ties_to_the_first() -> None:
    assert split(10, np.array([1.0, 1.0, 1.0])).tolist() == [4, 3, 3]
    assert split(10, np.array([2.6, 3.7, 3.7])).tolist() == [2, 4, 4]
    assert split_rows(np.array([10, 1]), np.array([[2.6, 3.7, 3.7], [0.5, 0.0, 0.5]])).tolist() == [
        [2, 4, 4],
        [1, 0, 0],
    ]


def test_quotas_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ArithmeticError, match="do not add up"):
        split_rows(np.array([10]), np.array([[1.0, 2.0]]))


def test_nothing_to_split() -> None:
    assert split(0, np.array([1.0, 0.0])).tolist() == [0, 0]
    assert split_rows(np.zeros(0, dtype=np.int64), np.zeros((0, 3))).shape == (0, 3)
