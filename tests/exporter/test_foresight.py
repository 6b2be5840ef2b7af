"""Foretelling ticks: as good as a straight line through all that was seen, and never surer than that."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_exporter.foresight import Foresight

MS = 1_000_000


def followed(times_ns: list[int], *, period_ns: float, looked_at_every: int = 1) -> Foresight:
    """A foresight that was told of these ticks, or of some of them."""
    foresight = Foresight(phase_ns=times_ns[0], period_ns=period_ns, ticks=10)
    for number, time_ns in enumerate(times_ns[1:], start=1):
        foresight.advance(1)
        if number % looked_at_every == 0:
            foresight.correct(time_ns - foresight.phase_ns)
    return foresight


@given(
    period_ns=st.integers(10 * MS, 1000 * MS),
    wrong_by_ppm=st.integers(-2000, 2000),
    looked_at_every=st.sampled_from([1, 3, 10]),
)
def test_a_steady_counter_is_foretold_exactly_though_its_period_was_guessed_wrongly(
    period_ns: int, wrong_by_ppm: int, looked_at_every: int
) -> None:
    times_ns = [number * period_ns for number in range(2001)]
    foresight = followed(times_ns, period_ns=period_ns * (1 + wrong_by_ppm * 1e-6), looked_at_every=looked_at_every)
    assert foresight.period_ns == pytest.approx(period_ns, rel=2e-6)
    assert foresight.phase_ns == pytest.approx(times_ns[-1], abs=period_ns * 1e-3)


@given(seed=st.integers(0, 1000), jitter_ms=st.floats(0.1, 5))
def test_the_error_shrinks_well_below_the_jitter(seed: int, jitter_ms: float) -> None:
    dice = random.Random(seed)
    times_ns = [round(n * 100 * MS + dice.uniform(-jitter_ms, jitter_ms) * MS) for n in range(1001)]
    foresight = followed(times_ns, period_ns=100.05 * MS)
    assert foresight.phase_ns == pytest.approx(1000 * 100 * MS, abs=0.7 * jitter_ms * MS)


@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), max_size=300))
def test_it_grows_less_sure_with_every_tick_and_surer_with_every_look(steps: list[tuple[int, bool]]) -> None:
    foresight = Foresight(phase_ns=0, period_ns=100 * MS, ticks=10)
    for ticks, look in steps:
        before = foresight.phase_variance
        foresight.advance(ticks)
        assert foresight.phase_variance > before
        if look:
            foresight.correct(0.0)
            assert 0 < foresight.phase_variance < 1


def test_after_a_restart_the_period_is_still_known() -> None:
    foresight = followed([number * 100 * MS for number in range(500)], period_ns=100.1 * MS)
    foresight.restart(77_000 * MS)
    foresight.advance(10)
    assert foresight.phase_ns == pytest.approx(78_000 * MS, abs=0.1 * MS)
