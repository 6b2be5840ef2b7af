"""The offset of the exporter's clock."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.attribution.clocks import ClockOffset, Pings, clock_offset

US, S = 1_000, 1_000_000_000


def make_pings(*rows: tuple[int, int, int]) -> Pings:
    """(sent at, way there, way back), for an exporter whose clock is `OFFSET` ahead."""
    t0 = np.array([row[0] for row in rows], dtype=np.int64)
    t1 = t0 + OFFSET + np.array([row[1] for row in rows], dtype=np.int64)
    t3 = t1 - OFFSET + 5 * US + np.array([row[2] for row in rows], dtype=np.int64)
    return Pings(t0, t1, t1 + 5 * US, t3)


OFFSET = 123_456_789_000


def known(offset: ClockOffset | None) -> ClockOffset:
    assert offset is not None
    return offset


@given(st.lists(st.tuples(st.integers(0, S), st.integers(0, S), st.integers(0, S)), min_size=1, max_size=10))
def test_the_offset_is_never_further_off_than_its_bound(rows: list[tuple[int, int, int]]) -> None:
    found = known(clock_offset(make_pings(*rows), same_boot=False, start_ns=0, end_ns=S))

    assert abs(found.offset_ns - OFFSET) <= found.bound_ns


def test_the_shortest_round_trip_counts() -> None:
    pings = make_pings((0, 900 * US, 100 * US), (0, 60 * US, 40 * US))

    found = known(clock_offset(pings, same_boot=False, start_ns=0, end_ns=0))

    assert found.offset_ns == OFFSET + 10 * US
    assert 50 * US <= found.bound_ns <= 52 * US


def test_drift_over_the_distance_widens_the_bound() -> None:
    near, far = (
        known(clock_offset(make_pings((0, 50 * US, 50 * US)), same_boot=False, start_ns=0, end_ns=end))
        for end in (0, 10 * S)
    )

    assert abs(far.bound_ns - near.bound_ns - 1_000 * US) <= 100  # 100 ppm of 10 s


def test_processes_of_one_boot_share_a_clock() -> None:
    t0 = np.array([0, S])
    pings = Pings(t0, t0 + 90 * US, t0 + 91 * US, t0 + 100 * US)

    assert clock_offset(pings, same_boot=True, start_ns=0, end_ns=S) == ClockOffset(
        0, 0, "same boot, confirmed by pings"
    )
    assert known(clock_offset(pings, same_boot=False, start_ns=0, end_ns=S)).bound_ns > 0


def test_a_ping_that_rules_out_a_shared_clock_is_believed() -> None:
    found = known(clock_offset(make_pings((0, US, US)), same_boot=True, start_ns=0, end_ns=S))

    assert abs(found.offset_ns - OFFSET) <= found.bound_ns


def test_without_a_ping_only_one_boot_is_known() -> None:
    assert known(clock_offset(make_pings(), same_boot=True, start_ns=0, end_ns=S)).offset_ns == 0
    assert clock_offset(make_pings(), same_boot=False, start_ns=0, end_ns=S) is None


def test_times_are_brought_to_the_meters_clock() -> None:
    assert ClockOffset(100, 0, "").to_meter(np.array([150, 250])).tolist() == [50, 150]
