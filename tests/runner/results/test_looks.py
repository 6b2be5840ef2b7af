"""What devices showed over stretches of time: against the plain definition, moment by moment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebench_runner.results import looks as figures
from joulebench_runner.results.looks import ANY, FIGURES, POWER, REACH_NS, Looks, Stretches, running_backwards

STEP = 100_000_000
"""All times of these tests are whole multiples of this, so that the plain definition can sum step by step."""
HW_THERMAL, SW_POWER_CAP, GPU_IDLE = 0x40, 0x4, 0x1

readings = st.one_of(st.just(float("nan")), st.floats(-1000, 1000, allow_subnormal=False))
times = st.lists(st.integers(0, 100).map(lambda step: 2 * step * STEP), min_size=0, max_size=8, unique=True).map(sorted)
spans = st.lists(st.tuples(st.integers(0, 2), st.integers(-20, 220), st.integers(1, 60)), max_size=8)


def looks_of(time_ns: list[int], watts: list[float], reasons: list[int] | None = None) -> Looks:
    nothing = np.full(len(time_ns), np.nan)
    return Looks(
        time_ns=np.array(time_ns, dtype=np.int64),
        values={**dict.fromkeys(FIGURES, nothing), POWER: np.array(watts, dtype=np.float64)},
        reasons=np.array(reasons or [-1] * len(time_ns), dtype=np.int64),
    )


def stretches(found: list[tuple[int, int, int]], groups: int = 3) -> Stretches:
    group, start, length = (np.array([one[place] for one in found], dtype=np.int64) for place in range(3))
    return Stretches(group, start * STEP, (start + length) * STEP, groups)


def steps_of(found: list[tuple[int, int, int]], group: int) -> list[int]:
    """The middles of all steps of a group, each once."""
    inside = {step for one, start, length in found if one == group for step in range(start, start + length)}
    return [step * STEP + STEP // 2 for step in sorted(inside)]


def nearest(time_ns: list[int], moment: int) -> int | None:
    """Which look stands for a moment."""
    if not time_ns:
        return None
    place = min(range(len(time_ns)), key=lambda one: abs(time_ns[one] - moment))
    return place if abs(time_ns[place] - moment) < REACH_NS else None


@settings(deadline=None)
@given(time_ns=times, found=spans, data=st.data())
def test_figures_are_those_of_the_nearest_look_at_each_moment(
    time_ns: list[int], found: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    watts = data.draw(st.lists(readings, min_size=len(time_ns), max_size=len(time_ns)))
    spread = looks_of(time_ns, watts).spread(POWER, stretches(found).merged())
    for group in range(3):
        held = [watts[place] for moment in steps_of(found, group) if (place := nearest(time_ns, moment)) is not None]
        told = [one for one in held if not np.isnan(one)]
        assert spread.known_ns[group] == pytest.approx(len(told) * STEP)
        expected = (np.mean(told), max(told), min(told)) if told else (np.nan,) * 3
        got = (spread.mean[group], spread.highest[group], spread.lowest[group])
        assert got == pytest.approx(expected, nan_ok=True, abs=1e-6)


@settings(deadline=None)
@given(time_ns=times, found=spans, data=st.data())
def test_throttling_is_the_time_in_which_the_nearest_look_says_so(
    time_ns: list[int], found: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    bits = st.sampled_from([-1, 0, HW_THERMAL, SW_POWER_CAP, HW_THERMAL | SW_POWER_CAP])
    reasons = data.draw(st.lists(bits, min_size=len(time_ns), max_size=len(time_ns)))
    seconds = looks_of(time_ns, [np.nan] * len(time_ns), reasons).throttling_seconds(
        "hw_thermal", stretches(found).merged()
    )
    for group in range(3):
        held = [reasons[place] for moment in steps_of(found, group) if (place := nearest(time_ns, moment)) is not None]
        told = [one for one in held if one >= 0]
        expected = sum(bool(one & HW_THERMAL) for one in told) * STEP / 1e9 if told else np.nan
        assert seconds[group] == pytest.approx(expected, nan_ok=True, abs=1e-9)


@settings(deadline=None)
@given(found=spans)
def test_merged_stretches_cover_each_moment_once(found: list[tuple[int, int, int]]) -> None:
    merged = stretches(found).merged()
    for group in range(3):
        mine = merged.group == group
        start, end = merged.start_ns[mine], merged.end_ns[mine]
        assert (start < end).all()
        assert (start[1:] > end[:-1]).all()
        assert int((end - start).sum()) == len(steps_of(found, group)) * STEP


def test_reasons_at_the_same_time_are_one_throttling() -> None:
    looks = looks_of([0, 10 * STEP], [1.0, 1.0], [HW_THERMAL | SW_POWER_CAP, 0])
    over = stretches([(0, 0, 10)], 1)
    each = {
        name: looks.throttling_seconds(name, over)[0] for name in (ANY, "hw_thermal", "sw_power_cap", "hw_slowdown")
    }
    assert each == pytest.approx({ANY: 0.5, "hw_thermal": 0.5, "sw_power_cap": 0.5, "hw_slowdown": 0.0})


def test_a_device_at_rest_is_not_throttled() -> None:
    assert GPU_IDLE & figures.REASONS[ANY] == 0


def test_a_steady_figure_is_its_own_mean_at_any_time_since_boot() -> None:
    boot = 10**17
    looks = looks_of([boot + place * 10**9 for place in range(1000)], [0.1] * 1000)
    over = Stretches(np.array([0]), np.array([boot + 7]), np.array([boot + 900 * 10**9 + 1]), 1)
    spread = looks.spread(POWER, over)
    assert (spread.mean[0], spread.highest[0], spread.lowest[0]) == (0.1, 0.1, 0.1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 50)))
def test_a_clock_runs_backwards_where_it_is_behind_any_time_before(told: list[int]) -> None:
    found = running_backwards(np.array(told, dtype=np.int64)).tolist()
    assert found == [any(before > one for before in told[:place]) for place, one in enumerate(told)]


def test_devices_that_do_not_tell_are_in_no_mean() -> None:
    nan = np.nan
    each = [np.array([1.0, nan, nan]), np.array([3.0, 5.0, nan])]
    assert figures.mean(each, 3).tolist()[:2] == [2.0, 5.0]
    assert figures.highest(each, 3).tolist()[:2] == [3.0, 5.0]
    assert np.isnan([figures.mean(each, 3)[2], figures.highest([], 1)[0], figures.mean([], 1)[0]]).all()
