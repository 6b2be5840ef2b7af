"""Attribution of one device: exact, fair, and blind to who asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.attribution.arrays import Ints, ints
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.core import Attribution, Occupancy, Segments, attribute
from joulebench_runner.attribution.ticks import TickFlag, Ticks

MS = 1_000_000
PERIOD = 100 * MS
Row = tuple[int, int, int, int, int]  # claimant, start, end, rate, equal


def make_segments(*rows: Row) -> Segments:
    if not rows:
        return Segments(*(np.zeros(0, dtype=np.int64) for _ in range(5)))
    return Segments(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))


def make_ticks(
    times: list[int], energy: list[int], flags: dict[int, int] | None = None, period: int = 100 * MS
) -> Ticks:
    all_flags = [(flags or {}).get(place, 0) for place in range(len(times))]
    return Ticks(np.array(times), np.array(energy), np.array(all_flags), np.zeros(len(times), dtype=np.int64), period)


def split(
    ticks: Ticks, *rows: Row, buckets: Ints | None = None, start: int = 0, end: int = 1000 * MS, claimants: int = 0
) -> Attribution:
    count = max([claimants, *(row[0] + 1 for row in rows)], default=0)
    bucket = np.full(count, int(Bucket.QUERIES)) if buckets is None else buckets
    return attribute(ticks, Occupancy(make_segments(*rows), bucket, start_ns=start, end_ns=end))


# A device at a steady 100 W: 10,000 mJ each 100 ms.
STEADY = make_ticks([100 * MS * k for k in range(11)], [10_000 * k for k in range(11)])


@st.composite
def tick_lists(draw: st.DrawFn) -> Ticks:
    count = draw(st.integers(0, 30))
    steps = draw(st.lists(st.integers(1, 200 * MS), min_size=count, max_size=count))
    deltas = draw(st.lists(st.integers(0, 60_000), min_size=count, max_size=count))
    flags = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 4, 8]), min_size=count, max_size=count))
    first = draw(st.integers(-300 * MS, 300 * MS))
    times = first + np.cumsum(np.array(steps, dtype=np.int64))
    zeros = np.zeros(count, dtype=np.int64)
    return Ticks(
        times, 7 + np.cumsum(np.array(deltas, dtype=np.int64)), np.array(flags, dtype=np.int64), zeros, 50 * MS
    )


@st.composite
def segment_rows(draw: st.DrawFn) -> list[Row]:
    times = st.integers(-100 * MS, 1100 * MS)
    weights = st.tuples(st.integers(1, 1 << 40), st.just(0)) | st.tuples(st.just(0), st.integers(1, 3))
    rows = draw(st.lists(st.tuples(st.integers(0, 9), times, times, weights), max_size=25))
    return [(claimant, min(a, b), max(a, b), rate, equal) for claimant, a, b, (rate, equal) in rows]


claimant_buckets = st.lists(
    st.sampled_from([Bucket.QUERIES, Bucket.QUERIES, Bucket.JUDGE, Bucket.FOREIGN, Bucket.UNJOINED, Bucket.ABANDONED]),
    min_size=10,
    max_size=10,
).map(lambda buckets: np.array(buckets, dtype=np.int64))


@given(tick_lists(), segment_rows(), claimant_buckets)
def test_every_tick_and_every_bucket_adds_up_exactly(ticks: Ticks, rows: list[Row], buckets: Ints) -> None:
    result = split(ticks, *rows, buckets=buckets)

    deltas = np.diff(result.ticks.energy_mj)
    assert (result.matrix_mj.sum(axis=1) == deltas).all()
    assert (result.matrix_mj >= 0).all()
    assert (result.claimant_mj >= 0).all()
    for bucket in np.unique(buckets):
        assert result.claimant_mj[buckets == bucket].sum() == result.totals_mj[bucket]
    assert result.conserved()


@given(tick_lists(), segment_rows(), claimant_buckets)
def test_the_order_of_segments_does_not_matter(ticks: Ticks, rows: list[Row], buckets: Ints) -> None:
    one, other = split(ticks, *rows, buckets=buckets), split(ticks, *reversed(rows), buckets=buckets)

    assert (one.matrix_mj == other.matrix_mj).all()
    assert np.abs(one.claimant_mj - other.claimant_mj).max(initial=0) <= 1


@given(tick_lists(), segment_rows(), claimant_buckets, st.integers(-(10**15), 10**15))
def test_a_shift_of_all_times_changes_nothing(ticks: Ticks, rows: list[Row], buckets: Ints, shift: int) -> None:
    moved = Ticks(ticks.time_ns + shift, ticks.energy_mj, ticks.flags, ticks.bracket_ns, ticks.period_ns)
    later = [(claimant, start + shift, end + shift, rate, equal) for claimant, start, end, rate, equal in rows]

    one = split(ticks, *rows, buckets=buckets)
    other = split(moved, *later, buckets=buckets, start=shift, end=shift + 1000 * MS)

    assert (one.matrix_mj == other.matrix_mj).all()
    assert (one.claimant_mj == other.claimant_mj).all()


@given(tick_lists(), segment_rows(), claimant_buckets)
def test_who_was_never_in_flight_gets_nothing(ticks: Ticks, rows: list[Row], buckets: Ints) -> None:
    without = [row for row in rows if row[0] != 3]

    assert split(ticks, *without, buckets=buckets).claimant_mj[3] == 0


@given(tick_lists(), segment_rows(), st.integers(1, 1 << 40))
def test_identical_calls_get_the_same_within_a_millijoule(ticks: Ticks, rows: list[Row], rate: int) -> None:
    twins = [(place, 100 * MS, 700 * MS, rate, 0) for place in (10, 11)]

    result = split(ticks, *rows, *twins)

    assert abs(int(result.claimant_mj[10] - result.claimant_mj[11])) <= 1


@given(tick_lists(), segment_rows(), st.integers(1, 1 << 30), st.integers(0, 1 << 30))
def test_more_tokens_never_cost_less(ticks: Ticks, rows: list[Row], rate: int, more: int) -> None:
    def energy(weight: int) -> int:
        return int(split(ticks, *rows, (10, 100 * MS, 700 * MS, weight, 0)).claimant_mj[10])

    # Rounding of ticks may take up to a millijoule of the queries' bucket in each of them.
    assert energy(rate + more) >= energy(rate) - 1 - len(ticks)


@given(tick_lists(), segment_rows(), claimant_buckets)
def test_two_halves_of_the_ticks_add_up_to_the_whole(ticks: Ticks, rows: list[Row], buckets: Ints) -> None:
    middle = len(ticks) // 2
    halves = [
        Ticks(ticks.time_ns[part], ticks.energy_mj[part], ticks.flags[part], ticks.bracket_ns[part], ticks.period_ns)
        for part in (slice(None, middle + 1), slice(middle, None))
    ]

    whole, first, second = (split(part, *rows, buckets=buckets) for part in (ticks, *halves))

    assert (whole.totals_mj == first.totals_mj + second.totals_mj).all()
    # Each of the three rounds a claimant by less than one, and its bucket's total by the rounding of the ticks.
    tolerance = 3 + 2 * len(ticks)
    assert np.abs(whole.claimant_mj - first.claimant_mj - second.claimant_mj).max(initial=0) <= tolerance


def test_a_call_alone_gets_all_of_its_time_and_the_rest_is_idle() -> None:
    result = split(STEADY, (0, 250 * MS, 650 * MS, 5, 0))

    assert result.claimant_mj.tolist() == [40_000]
    assert result.totals_mj[Bucket.IDLE] == 60_000
    assert result.totals_mj[Bucket.BOUNDARY] == 0


def test_two_calls_share_by_weight_while_both_are_in_flight() -> None:
    result = split(STEADY, (0, 0, 1000 * MS, 3, 0), (1, 500 * MS, 1000 * MS, 1, 0))

    assert result.claimant_mj.tolist() == [50_000 + 37_500, 12_500]


def test_a_call_of_unknown_weight_gets_an_equal_share_and_the_others_split_the_rest() -> None:
    result = split(STEADY, (0, 0, 1000 * MS, 0, 1), (1, 0, 1000 * MS, 3, 0), (2, 0, 1000 * MS, 1, 0))

    assert result.claimant_mj.tolist() == [33_333, 50_000, 16_667]


def test_several_equal_shares_count_as_several_calls() -> None:
    result = split(
        STEADY, (0, 0, 1000 * MS, 0, 3), (1, 0, 1000 * MS, 9, 0), buckets=ints(Bucket.FOREIGN, Bucket.QUERIES)
    )

    assert result.claimant_mj.tolist() == [75_000, 25_000]
    assert result.totals_mj[Bucket.FOREIGN] == 75_000


def test_energy_of_the_first_and_last_tick_outside_the_window_is_boundary() -> None:
    result = split(STEADY, (0, 0, 1000 * MS, 1, 0), start=130 * MS, end=820 * MS)

    assert len(result.ticks) == 9  # from 100 ms to 900 ms
    assert result.total_mj == 80_000
    assert result.totals_mj[Bucket.BOUNDARY] == 3_000 + 8_000
    assert result.claimant_mj.tolist() == [69_000]


def test_a_window_inside_one_tick_takes_its_part_of_the_tick() -> None:
    result = split(STEADY, (0, 220 * MS, 240 * MS, 1, 0), start=210 * MS, end=250 * MS)

    assert result.matrix_mj.shape[0] == 1
    assert result.totals_mj[[Bucket.QUERIES, Bucket.IDLE, Bucket.BOUNDARY]].tolist() == [2_000, 2_000, 6_000]


def test_a_reset_is_unattributed_whole() -> None:
    ticks = make_ticks(STEADY.time_ns.tolist(), STEADY.energy_mj.tolist(), flags={4: TickFlag.RESET})

    result = split(ticks, (0, 0, 1000 * MS, 1, 0))

    assert result.totals_mj[Bucket.COUNTER_RESET] == 10_000
    assert result.claimant_mj.tolist() == [90_000]
    assert result.lost_mj.tolist() == pytest.approx([10_000])
    assert result.conserved()


def test_a_counter_that_falls_back_loses_that_tick_and_nothing_else() -> None:
    ticks = make_ticks([0, 100 * MS, 200 * MS, 300 * MS], [500, 900, 100, 600])

    result = split(ticks, (0, 0, 300 * MS, 1, 0), end=300 * MS)

    assert result.claimant_mj.tolist() == [400 + 0 + 500]
    assert ticks.covered_ns(0, 300 * MS) == 200 * MS
    assert result.conserved()


def test_a_long_gap_is_missed_ticks_and_a_short_one_is_not() -> None:
    ticks = make_ticks([0, 900 * MS, 2_300 * MS, 2_400 * MS], [0, 900, 2_300, 2_400])

    result = split(ticks, (0, 0, 2_400 * MS, 1, 0), end=2_400 * MS)

    assert result.totals_mj[Bucket.MISSED_TICKS] == 1_400
    assert result.claimant_mj.tolist() == [1_000]


def test_a_gap_at_the_start_of_the_window_is_split_into_boundary_and_missed_ticks() -> None:
    ticks = make_ticks([0, 2_000 * MS, 2_100 * MS], [0, 2_000, 2_100])

    result = split(ticks, (0, 500 * MS, 2_100 * MS, 1, 0), start=500 * MS, end=2_100 * MS)

    assert result.totals_mj[[Bucket.QUERIES, Bucket.BOUNDARY, Bucket.MISSED_TICKS]].tolist() == [100, 500, 1_500]


def test_a_call_alone_with_the_least_weight_does_not_blur_the_shares_of_others() -> None:
    # Differences of one prefix sum of P/W would be off by joules here: P/W spans thirteen orders of magnitude.
    hours = make_ticks([0, 3_600_000 * MS, 3_600_001 * MS], [0, 2_520_000_000, 2_520_000_700], period=3_600_000 * MS)
    rows = [(0, 0, 3_600_000 * MS, 1, 0), (1, 3_600_000 * MS, 3_600_001 * MS, 1 << 43, 0)]

    result = split(hours, *rows, end=3_600_001 * MS)

    assert result.claimant_mj.tolist() == [2_520_000_000, 700]


def test_less_energy_than_calls_is_still_exact() -> None:
    ticks = make_ticks([0, 100 * MS], [0, 2])

    result = split(ticks, *((place, 0, 100 * MS, 1, 0) for place in range(5)), end=100 * MS)

    assert result.claimant_mj.tolist() == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("times", [[], [500 * MS], [2000 * MS, 2100 * MS], [-200 * MS, -100 * MS]])
def test_without_ticks_in_the_window_nobody_gets_anything(times: list[int]) -> None:
    result = split(make_ticks(times, [place * 100 for place in range(len(times))]), (0, 0, 1000 * MS, 1, 0))

    assert result.total_mj == 0
    assert result.claimant_mj.tolist() == [0]
    assert result.conserved()


def test_without_calls_all_is_idle() -> None:
    assert split(STEADY).totals_mj[Bucket.IDLE] == 100_000


def test_conserved_is_computed_and_not_assumed() -> None:
    result = split(STEADY, (0, 0, 1000 * MS, 1, 0))
    assert result.conserved()

    result.claimant_mj[0] -= 1

    assert not result.conserved()


def test_ticks_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order of time"):
        make_ticks([0, 100, 100], [0, 1, 2])


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="ends"):
        split(STEADY, start=10, end=10)
