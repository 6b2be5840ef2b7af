"""Intervals and distributions against published and hand-made values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.results.statistics import accuracy, distribution, effective_trials, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_proportion_and_stays_within_0_and_1(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))

    low, high = wilson(successes, trials)

    assert 0 <= low <= successes / trials <= high <= 1


def test_answers_to_different_records_are_independent() -> None:
    assert effective_trials(np.array([True, False, True, True]), np.arange(4)) == 4


def test_epochs_that_repeat_the_same_answer_count_once_a_record() -> None:
    correct = np.repeat([True, False] * 10, 5)

    trials = effective_trials(correct, np.repeat(np.arange(20), 5))

    assert trials == pytest.approx(19)  # 20 records; the variance between them has 19 degrees of freedom


def test_epochs_that_differ_as_chance_has_it_count_in_full() -> None:
    rng = np.random.default_rng(1)

    trials = effective_trials(rng.random(4000) < 0.5, np.repeat(np.arange(1000), 4))

    assert 3500 < trials <= 4000


@pytest.mark.parametrize("answer", [True, False])
def test_epochs_that_are_all_alike_count_once_a_record(answer: bool) -> None:
    assert effective_trials(np.full(30, answer), np.repeat(np.arange(10), 3)) == 10


def test_clustering_widens_the_interval_and_leaves_the_value() -> None:
    correct, records = np.repeat([True, False, True, True], 10), np.repeat(np.arange(4), 10)

    clustered, plain = accuracy(correct, records), accuracy(correct, np.arange(40))

    assert clustered is not None
    assert plain is not None
    assert clustered.value == plain.value == 0.75
    assert clustered.low < plain.low
    assert clustered.high > plain.high


def test_no_answers_have_no_accuracy() -> None:
    assert accuracy(np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64)) is None


def test_a_distribution_leaves_out_what_is_not_known() -> None:
    figures = distribution(np.array([4.0, np.nan, 1.0, 2.0, 3.0]))

    assert figures is not None
    assert (figures.count, figures.mean, figures.median, figures.min, figures.max) == (4, 2.5, 2.5, 1.0, 4.0)
    assert figures.p5 == pytest.approx(1.15)
    assert figures.p95 == pytest.approx(3.85)
    assert figures.std == pytest.approx(1.2909944)


def test_one_value_has_no_spread_and_none_has_no_figures() -> None:
    one = distribution(np.array([7.0]))

    assert one is not None
    assert one.std is None
    assert distribution(np.array([np.nan])) is None
