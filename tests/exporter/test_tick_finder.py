"""Finding and following the ticks of a counter, in simulated time."""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebench_exporter.tick_finder import MAX_BRACKET_NS, State, TickFinder

MS = 1_000_000
READ_NS = 20_000


@dataclass(kw_only=True)
class Played:
    """A tick finder that reads a counter whose ticks are known."""

    finder: TickFinder = field(default_factory=TickFinder)
    now_ns: int = 0
    reads: list[int] = field(default_factory=list)
    seen: list[tuple[int, int, int]] = field(default_factory=list)
    """(time, bracket, number of true ticks in it)."""

    def play(self, ticks_ns: list[int], *, until_ns: int, late_ns: Callable[[], int] = lambda: 50_000) -> "Played":
        unchanged_ns, shown = self.now_ns, bisect_right(ticks_ns, self.now_ns)
        while self.now_ns < until_ns and self.finder.state is not State.FREE:
            start_ns = max(self.now_ns, self.finder.due_ns + late_ns())
            self.now_ns = start_ns + READ_NS
            self.reads.append(start_ns)
            now_shown = bisect_right(ticks_ns, start_ns)
            if now_shown == shown:
                self.finder.unchanged(end_ns=self.now_ns)
            else:
                bracket_ns = self.now_ns - unchanged_ns
                self.seen.append((self.now_ns, bracket_ns, now_shown - shown))
                self.finder.moved(start_ns=start_ns, end_ns=self.now_ns, bracket_ns=bracket_ns)
            unchanged_ns, shown = start_ns, now_shown
        return self


def ticks(*, period_ns: int, seconds: float, jitter_ns: int = 0, phase_ns: int = 0, seed: int = 1) -> list[int]:
    """True times of ticks, each shifted by its own chance."""
    dice = random.Random(seed)
    number = int(seconds * 1e9 / period_ns)
    return [phase_ns + n * period_ns + dice.randint(-jitter_ns, jitter_ns) for n in range(1, number + 1)]


@pytest.mark.parametrize("period_ms", [20, 50, 100])
def test_it_finds_the_period(period_ms: int) -> None:
    times = ticks(period_ns=period_ms * MS, seconds=6)
    finder = Played().play(times, until_ns=4_000 * MS).finder
    assert finder.state is State.FOLLOWING
    assert finder.period_ns == pytest.approx(period_ms * MS, rel=2e-3)


@pytest.mark.parametrize("period_ms", [20, 100])
@pytest.mark.parametrize("seed", range(4))
def test_with_jitter_and_drift_all_ticks_are_seen_and_their_brackets_are_narrow(period_ms: int, seed: int) -> None:
    period_ns = period_ms * MS + period_ms * 100  # 100 ppm
    times = ticks(period_ns=period_ns, seconds=400, jitter_ns=2 * MS, phase_ns=seed * 7 * MS, seed=seed)
    played = Played().play(times, until_ns=400_000 * MS)
    followed = [row for row in played.seen if row[0] > 5_000 * MS]
    brackets = sorted(bracket for _, bracket, _ in followed)
    assert sum(number == 1 for *_, number in followed) >= 0.999 * len(followed)
    assert brackets[int(0.99 * len(brackets))] <= 5 * MS
    assert sum(at > 5_000 * MS for at in played.reads) <= 2.15 * len(followed)
    assert played.finder.missed <= 0.001 * len(followed)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A counter, and how late the reads of it come."""

    period_ns: int
    phase_ns: int
    jitter_ns: int
    late_ns: int
    seed: int


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Periods of 15 to 200 ms with a drift, any phase, up to 2.5 ms of jitter, reads that come up to 0.3 ms late."""
    period_ms = draw(st.integers(15, 200))
    period_ns = period_ms * MS + period_ms * draw(st.integers(-300, 300))
    return Shape(
        period_ns=period_ns,
        phase_ns=draw(st.integers(0, period_ns)),
        jitter_ns=min(draw(st.integers(0, 2_500_000)), period_ns // 7),
        late_ns=draw(st.integers(0, 300_000)),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=40, deadline=None)
@given(shape=shapes())
def test_whatever_the_rhythm_each_tick_has_a_narrow_bracket_of_its_own(shape: Shape) -> None:
    dice = random.Random(shape.seed)
    times = ticks(
        period_ns=shape.period_ns, seconds=62, jitter_ns=shape.jitter_ns, phase_ns=shape.phase_ns, seed=shape.seed
    )
    played = Played().play(times, until_ns=60_000 * MS, late_ns=lambda: dice.randint(0, shape.late_ns))
    followed = [row for row in played.seen if row[0] > 5_000 * MS]
    wide_ns = MAX_BRACKET_NS + shape.late_ns + 2 * READ_NS
    assert sum(number == 1 for *_, number in followed) >= 0.999 * len(followed)
    begin_ns, end_ns = followed[0][0] - followed[0][1], followed[-1][0]
    assert sum(number for *_, number in followed) == sum(begin_ns < at <= end_ns for at in times)
    assert sum(bracket > wide_ns for _, bracket, _ in followed) <= max(4, 0.01 * len(followed))
    assert sum(at > 5_000 * MS for at in played.reads) <= 2.7 * len(followed)


def test_a_counter_without_jitter_is_known_to_two_milliseconds_with_few_reads() -> None:
    times = ticks(period_ns=100 * MS, seconds=120)
    played = Played().play(times, until_ns=110_000 * MS)
    late = [bracket for at, bracket, _ in played.seen if at > 60_000 * MS]
    assert sorted(late)[int(0.99 * len(late))] <= MAX_BRACKET_NS
    assert played.finder.jitter_ns < 2 * MS


def test_reads_on_a_common_grid_lie_on_it_and_still_see_every_tick() -> None:
    played = Played().play(ticks(period_ns=20 * MS, seconds=60, jitter_ns=2 * MS), until_ns=3_000 * MS)
    played.finder.grid_ns = MAX_BRACKET_NS
    played.reads.clear()
    played.play(ticks(period_ns=20 * MS, seconds=60, jitter_ns=2 * MS), until_ns=50_000 * MS, late_ns=lambda: 0)
    on_grid = sum(at % MAX_BRACKET_NS == 0 for at in played.reads)
    assert on_grid >= 0.99 * len(played.reads)
    assert played.finder.missed <= 3


def test_a_counter_that_moves_all_the_time_is_left_to_the_grid() -> None:
    assert Played().play(ticks(period_ns=MS, seconds=3), until_ns=2_000 * MS).finder.state is State.FREE


def test_a_counter_that_stands_still_is_read_less_and_less() -> None:
    played = Played().play([], until_ns=20_000 * MS)
    assert played.finder.state is State.SEEKING
    assert sum(at > 10_000 * MS for at in played.reads) <= 501


def test_a_tick_that_nobody_saw_is_counted() -> None:
    times = ticks(period_ns=100 * MS, seconds=60)
    played = Played().play(times, until_ns=10_000 * MS)
    last_ns = played.seen[-1][0]
    played.now_ns += 260 * MS  # the thread was starved
    unseen = sum(last_ns < at <= played.now_ns for at in times)
    played.play(times, until_ns=20_000 * MS)
    assert unseen >= 2
    assert played.finder.missed == unseen
    assert played.finder.state is State.FOLLOWING


def test_a_phase_that_jumps_is_found_again() -> None:
    before = ticks(period_ns=100 * MS, seconds=20)
    after = ticks(period_ns=100 * MS, seconds=40, phase_ns=20_000 * MS + 37 * MS)
    played = Played().play(before + after, until_ns=50_000 * MS)
    late = [bracket for at, bracket, _ in played.seen if at > 40_000 * MS]
    assert max(late) <= 6 * MS


@pytest.mark.parametrize("grid_ns", [None, MAX_BRACKET_NS])
def test_on_a_busy_machine_hardly_a_tick_is_lost_and_the_reads_stay_few(grid_ns: int | None) -> None:
    times = ticks(period_ns=20 * MS, seconds=62, jitter_ns=2 * MS)
    dice = random.Random(3)
    played = Played().play(times, until_ns=3_000 * MS)
    played.finder.grid_ns = grid_ns
    played.play(
        times, until_ns=60_000 * MS, late_ns=lambda: dice.randint(0, 15 * MS) if dice.random() < 0.2 else 100_000
    )
    assert played.finder.missed <= 0.004 * len(times)
    assert len(played.reads) <= 2.8 * len(times)


@pytest.mark.parametrize(("before_ms", "after_ms"), [(100, 20), (20, 100), (100, 70)])
def test_a_period_that_changes_is_found_again(before_ms: int, after_ms: int) -> None:
    before = ticks(period_ns=before_ms * MS, seconds=20, jitter_ns=MS)
    after = ticks(period_ns=after_ms * MS, seconds=20, jitter_ns=MS, phase_ns=before[-1])
    played = Played().play(before + after, until_ns=38_000 * MS)
    late = sorted(bracket for at, bracket, _ in played.seen if at > 30_000 * MS)
    assert played.finder.period_ns == pytest.approx(after_ms * MS, rel=2e-3)
    assert late[int(0.99 * len(late))] <= 5 * MS


def test_after_a_failed_read_it_waits_a_little_and_searches_again() -> None:
    times = ticks(period_ns=100 * MS, seconds=60)
    played = Played().play(times, until_ns=10_000 * MS)
    period_ns = played.finder.period_ns
    played.finder.failed(now_ns=played.now_ns)
    assert played.finder.due_ns == played.now_ns + 100 * MS
    played.play(times, until_ns=11_000 * MS)
    assert played.finder.state is State.FOLLOWING
    assert played.finder.period_ns == pytest.approx(period_ns, rel=1e-3)


def test_reads_that_come_late_teach_nothing_about_the_counter() -> None:
    times = ticks(period_ns=100 * MS, seconds=60)
    played = Played().play(times, until_ns=10_000 * MS)
    period_ns = played.finder.period_ns or 0
    dice = random.Random(5)
    played.play(times, until_ns=40_000 * MS, late_ns=lambda: dice.choice([0, 0, 0, 70 * MS]))
    assert played.finder.period_ns == pytest.approx(period_ns, rel=5e-3)
    assert played.finder.state is State.FOLLOWING
