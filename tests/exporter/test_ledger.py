"""The ledger: from raw reads to exact ticks."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from joulebench_exporter.counter import Counter
from joulebench_exporter.ledger import Ledger
from joulebench_exporter.ticks import Tick, TickFlag

MILLIJOULE = Counter(microjoules_per_count=Fraction(1000))
MICROJOULE = Counter()
STEP_NS = 100


def observe(ledger: Ledger, *counts: int | None, start_ns: int = 0, read_ns: int = 10) -> list[Tick | None]:
    """One read every STEP_NS; None fails."""
    ticks: list[Tick | None] = []
    for index, count in enumerate(counts):
        begin_ns = start_ns + index * STEP_NS
        if count is None:
            ledger.miss()
            ticks.append(None)
        else:
            ticks.append(ledger.observe(count, start_ns=begin_ns, end_ns=begin_ns + read_ns))
    return ticks


def seen(ledger: Ledger, *counts: int | None) -> list[Tick]:
    return [tick for tick in observe(ledger, *counts) if tick is not None]


def test_the_first_read_is_the_beginning_of_the_account() -> None:
    (tick,) = seen(Ledger(MILLIJOULE), 123_456)
    assert tick == Tick(sequence=1, time_ns=10, bracket_ns=10, energy_mj=0)


def test_each_move_of_the_counter_is_a_tick() -> None:
    ticks = seen(Ledger(MILLIJOULE), 100, 130, 135)
    assert [(tick.sequence, tick.energy_mj, tick.flags) for tick in ticks] == [(1, 0, 0), (2, 30, 0), (3, 35, 0)]


def test_an_unchanged_counter_is_no_tick() -> None:
    assert observe(Ledger(MILLIJOULE), 7, 7, 7)[1:] == [None, None]


def test_the_bracket_reaches_back_to_the_last_read_of_the_old_value() -> None:
    *_, tick = seen(Ledger(MILLIJOULE), 7, 7, 8)
    assert tick.time_ns == 2 * STEP_NS + 10
    assert tick.bracket_ns == STEP_NS + 10


def test_a_failed_read_widens_the_bracket_because_nobody_saw_the_old_value() -> None:
    *_, tick = seen(Ledger(MILLIJOULE), 7, None, 8)
    assert tick.bracket_ns == 2 * STEP_NS + 10


def test_the_bracket_of_a_computed_counter_is_the_duration_of_its_read() -> None:
    *_, tick = seen(Ledger(Counter(update_period_ns=0)), 7, 8)
    assert tick.bracket_ns == 10


def test_the_bracket_of_a_fast_counter_is_no_longer_than_its_own_period() -> None:
    *_, tick = seen(Ledger(Counter(update_period_ns=25)), 7, 8)
    assert tick.bracket_ns == 35
    *_, tick = seen(Ledger(Counter(update_period_ns=10 * STEP_NS)), 7, 8)
    assert tick.bracket_ns == STEP_NS + 10


def test_failed_reads_are_a_gap_and_never_a_zero() -> None:
    ticks = seen(Ledger(MILLIJOULE), 100, None, None, 160, 170)
    assert [(tick.energy_mj, tick.flags) for tick in ticks] == [(0, 0), (60, TickFlag.GAP), (70, 0)]


def test_a_gap_is_kept_until_the_counter_moves() -> None:
    ticks = seen(Ledger(MILLIJOULE), 100, None, 100, 101)
    assert [tick.flags for tick in ticks] == [0, TickFlag.GAP]


def test_failures_before_the_first_read_are_a_gap_too() -> None:
    (tick,) = seen(Ledger(MILLIJOULE), None, 100)
    assert (tick.energy_mj, tick.flags) == (0, TickFlag.GAP)


def test_a_counter_that_goes_back_without_a_range_was_reset() -> None:
    ticks = seen(Ledger(MILLIJOULE), 100, 150, 20, 25)
    assert [(tick.energy_mj, tick.flags) for tick in ticks] == [(0, 0), (50, 0), (50, TickFlag.RESET), (55, 0)]


def test_a_counter_that_goes_back_within_its_range_has_wrapped() -> None:
    ledger = Ledger(Counter(microjoules_per_count=Fraction(1000), wraps_at=1000))
    ticks = seen(ledger, 980, 20)
    assert (ticks[1].energy_mj, ticks[1].flags) == (40, TickFlag.WRAPPED)


def test_a_wrap_that_would_need_impossible_power_is_a_reset() -> None:
    # 1 count = 1 uJ; at most 1 W means at most 0.1 counts in 100 ns, so 500 counts cannot have been used.
    ledger = Ledger(Counter(wraps_at=1000, max_watts=1))
    assert seen(ledger, 600, 100)[1].flags == TickFlag.RESET


def test_a_silence_long_enough_for_an_unseen_wrap_leaves_the_energy_unknown() -> None:
    ledger = Ledger(Counter(microjoules_per_count=Fraction(1000), wraps_at=1000, max_watts=1))
    ledger.observe(10, start_ns=0, end_ns=1)
    second_ns = 1_000_000_000
    tick = ledger.observe(500, start_ns=second_ns, end_ns=second_ns + 1)  # 1 W could have gone around in 1 s
    assert tick is not None
    assert (tick.energy_mj, tick.flags) == (0, TickFlag.RESET | TickFlag.GAP)


def test_integrated_power_is_marked_on_every_tick() -> None:
    ticks = seen(Ledger(Counter(integrated=True)), 1, 2)
    assert all(tick.flags & TickFlag.INTEGRATED for tick in ticks)


def test_millijoules_are_the_floor_of_the_sum_and_not_a_sum_of_floors() -> None:
    ticks = seen(Ledger(MICROJOULE), *range(0, 5000, 999))
    assert [tick.energy_mj for tick in ticks] == [0, 0, 1, 2, 3, 4]


def test_units_that_are_fractions_of_a_microjoule_do_not_drift() -> None:
    # 2^-16 J, the unit of several AMD counters.
    ledger = Ledger(Counter(microjoules_per_count=Fraction(10**6, 2**16)))
    *_, last = seen(ledger, *range(0, 2**16 * 3 + 1, 4096))
    assert last.energy_mj == 3000


steps = st.lists(st.one_of(st.none(), st.integers(min_value=0, max_value=10**9)), max_size=60)


@given(steps=steps, start=st.integers(min_value=0, max_value=2**62))
def test_the_account_equals_the_counter_whatever_fails(steps: list[int | None], start: int) -> None:
    ledger, count, ticks = Ledger(MICROJOULE), start, []
    reads: list[int | None] = [start]
    for step in steps:
        count += step or 0
        reads.append(None if step is None else count)
    ticks = seen(ledger, *reads)
    good = [read for read in reads if read is not None]
    assert ticks[-1].energy_mj == (good[-1] - start) // 1000
    deltas = [after.energy_mj - before.energy_mj for before, after in pairwise(ticks)]
    assert sum(deltas) == ticks[-1].energy_mj
    assert [tick.sequence for tick in ticks] == list(range(1, len(ticks) + 1))
    assert all(delta >= 0 for delta in deltas)


@given(
    steps=st.lists(st.integers(min_value=0, max_value=999), max_size=60),
    start=st.integers(min_value=0, max_value=999),
)
def test_wraps_lose_nothing(steps: list[int], start: int) -> None:
    ledger = Ledger(Counter(microjoules_per_count=Fraction(1000), wraps_at=1000))
    total, reads = start, [start]
    for step in steps:
        total += step
        reads.append(total % 1000)
    ticks = seen(ledger, *reads)
    assert ticks[-1].energy_mj == total - start
    wraps = sum(after < before for before, after in pairwise(reads))
    assert sum(bool(tick.flags & TickFlag.WRAPPED) for tick in ticks) == wraps


@given(reads=st.lists(st.one_of(st.none(), st.integers(min_value=0, max_value=10**6)), max_size=60))
def test_whatever_a_counter_does_the_account_never_falls_and_times_never_go_back(reads: list[int | None]) -> None:
    ticks = seen(Ledger(MILLIJOULE), *reads)
    for before, after in pairwise(ticks):
        assert after.energy_mj >= before.energy_mj
        assert after.time_ns > before.time_ns
        assert after.sequence == before.sequence + 1
        assert after.time_ns - after.bracket_ns >= before.time_ns - 10
        assert (after.energy_mj == before.energy_mj) == bool(after.flags & TickFlag.RESET)
