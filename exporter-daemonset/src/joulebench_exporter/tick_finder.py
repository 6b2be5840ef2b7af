"""When a counter ticks: found by reading often, then foretold, so that few reads see every tick in a narrow bracket.

**Found**: reads every 2 ms until enough ticks were seen; the period is the slope of a line through their times.
**Followed**: one read lies a margin before the foretold time, the next a margin after it (or 4.6 ms after the first),
and so on until the counter has moved: two reads for most ticks, which is the least that can bracket one. Where the
foretold time is not certain enough, a read in the middle says whether the tick came before or after it, and corrects
phase and period (`foresight`): every tick at first, then one in twenty. A tick that came outside of its margin widens
the margin, each other one narrows it a trace, so that about one in a thousand comes too early, whatever the jitter.
Several such in a row: the counter has another rhythm now, and is sought again.
**Many counters** with short periods are cheaper to read together: `grid_ns` moves all reads to a common grid.

Pure: it is told of reads and says when to read next. It is told right after a sleep, with the processor's caches cold:
there a comparison costs a fifth of a call of `min` or `max`, which is why there are few.
"""

from collections import deque
from enum import Enum
from itertools import pairwise
from statistics import median
from typing import Final

from joulebench_exporter.foresight import Foresight

MAX_BRACKET_NS: Final = 4_600_000
"""Reads around a tick lie no farther apart than this."""

SEEK_STEP_NS: Final = 2_000_000
STILL_STEP_NS: Final = 20_000_000
"""The same for a counter that has not moved for seconds."""
SHORTEST_PERIOD_NS: Final = 5_000_000
"""A counter that moves more often is read on the sampler's grid: nothing would be gained by waiting for its ticks."""

_SEEK_NS: Final = 1_000_000_000
_SEEK_GAPS: Final = 8
_MOST_SEEK_TICKS: Final = 64
_STILL_NS: Final = 5_000_000_000
_MIN_MARGIN_NS: Final = 1_000_000
_NARROWER: Final = 0.9997
_WIDER: Final = 1.2
_UNSURE: Final = 0.12
"""A tick whose foretold time has a larger variance than this (in units of a look's own) is looked at more closely."""
_NEXT: Final = 1.5
"""In periods: a tick that comes before that is the next one, and none was missed."""
_SURPRISES_IN_A_ROW: Final = 4
"""After so many the phase is sought again, after three times as many the period too."""
_PUNCTUAL_NS: Final = 500_000
"""A read that comes later than this teaches nothing: the thread was late, not the counter early."""
_RETRY_NS: Final = 100_000_000


class State(Enum):
    """How much is known."""

    SEEKING = "seeking"
    """Reads often, to see when the ticks are."""
    FOLLOWING = "following"
    """Foretells the next tick."""
    FREE = "free"
    """The counter has no ticks worth finding."""


_SEEKING: Final = State.SEEKING
"""By a name of our own, as asking an Enum's class for a member takes longer than the rest of the question."""


class TickFinder:
    """One counter's ticks. Times are monotonic nanoseconds."""

    __slots__ = (
        "_closer",
        "_foresight",
        "_margin_ns",
        "_moved_ns",
        "_overdue_ns",
        "_seen",
        "_step_ns",
        "_surprises",
        "_wanted_ns",
        "due_ns",
        "grid_ns",
        "jitter_ns",
        "missed",
        "period_ns",
        "state",
    )

    def __init__(self) -> None:
        self.state = State.SEEKING
        self.due_ns = 0
        """When to read next; not for State.FREE."""
        self.period_ns: int | None = None
        self.missed = 0
        """Ticks that went by between two reads, since the first was followed."""
        self.jitter_ns = 0.0
        """Mean distance between where ticks were foretold and where they were seen."""
        self.grid_ns: int | None = None
        """Reads of a followed counter lie on multiples of this; None: where they serve it best."""
        self._foresight: Foresight | None = None
        self._margin_ns = float(MAX_BRACKET_NS)
        self._seen: deque[int] = deque(maxlen=_MOST_SEEK_TICKS)
        self._wanted_ns = 0
        """When the next read should be; `due_ns` is later where that time is over."""
        self._step_ns = SEEK_STEP_NS
        """From one read to the next while a tick is expected."""
        self._overdue_ns = 0
        """From when on the next tick is later than expected."""
        self._closer = False
        """Whether the next tick is looked at more closely."""
        self._moved_ns: int | None = None
        """While seeking: when the counter moved last, or the search began."""
        self._surprises = 0
        """How many ticks in a row came outside of their margin."""

    def seek(self, *, now_ns: int) -> None:
        """Forget the phase (after a silence, a reset or too many surprises) and look for it again at once."""
        self.state = State.SEEKING
        self.due_ns = self._moved_ns = now_ns
        self._seen.clear()

    def failed(self, *, now_ns: int) -> None:
        """A read failed: try again a little later, and take nothing for granted."""
        self.seek(now_ns=now_ns)
        self.due_ns = now_ns + _RETRY_NS

    def unchanged(self, *, end_ns: int) -> None:
        """A read saw the old value."""
        due_ns = self.due_ns
        if self.state is _SEEKING:
            self._seek_on(end_ns)
        elif self.grid_ns:
            self.due_ns = (end_ns // self.grid_ns + 1) * self.grid_ns
        else:
            step_ns = self._step_ns if due_ns < self._overdue_ns else MAX_BRACKET_NS
            begin_ns = end_ns if end_ns > due_ns else due_ns  # noqa: FURB136 - slower, see above
            self.due_ns = begin_ns + step_ns
        self._wanted_ns = self.due_ns

    def moved(self, *, start_ns: int, end_ns: int, bracket_ns: int) -> None:
        """A read saw a new value, which is not older than `bracket_ns`."""
        if self.state is _SEEKING or self._foresight is None:
            self._found(end_ns, bracket_ns)
        else:
            self._follow(self._foresight, start_ns, end_ns, bracket_ns)

    def _seek_on(self, now_ns: int) -> None:
        if self._moved_ns is None:
            self._moved_ns = now_ns
        still = now_ns - self._moved_ns > _STILL_NS
        self.due_ns = now_ns + (STILL_STEP_NS if still else SEEK_STEP_NS)

    def _found(self, end_ns: int, bracket_ns: int) -> None:
        self._moved_ns = end_ns
        if bracket_ns <= 3 * SEEK_STEP_NS:
            self._seen.append(end_ns - bracket_ns // 2)
        if self._seen and self._knows_enough(end_ns):
            self._lock(end_ns)
        else:
            self._seek_on(end_ns)

    def _knows_enough(self, now_ns: int) -> bool:
        if self._foresight is not None:  # only the phase was lost
            return True
        full = len(self._seen) == self._seen.maxlen
        return full or (len(self._seen) > _SEEK_GAPS and now_ns - self._seen[0] >= _SEEK_NS)

    def _lock(self, now_ns: int) -> None:
        if self._foresight is None:
            period_ns, largest_ns = _line_through(list(self._seen))
            self._foresight = Foresight(phase_ns=self._seen[-1], period_ns=period_ns, ticks=len(self._seen))
            self._margin_ns = max(largest_ns, _MIN_MARGIN_NS)
            self._surprises = 0
        else:
            self._foresight.restart(self._seen[-1])
            self._margin_ns += _MIN_MARGIN_NS
        self._seen.clear()
        self.period_ns = round(self._foresight.period_ns)
        self.state = State.FOLLOWING if self.period_ns >= SHORTEST_PERIOD_NS else State.FREE
        self._expect(self._foresight, now_ns)

    def _follow(self, foresight: Foresight, start_ns: int, end_ns: int, bracket_ns: int) -> None:
        surprises = self._surprises
        punctual = start_ns - self._wanted_ns <= _PUNCTUAL_NS
        if bracket_ns <= 2 * MAX_BRACKET_NS:
            self._saw(foresight, end_ns - bracket_ns, end_ns, punctual=punctual)
        elif punctual:  # before the first read of its window, so the bracket is wide
            self._pass(foresight, 1)
            self._correct(foresight, -self._margin_ns)
            self._surprised(foresight)
        else:  # we came late ourselves. Rather one tick too few: the next is then awaited too early, not too late
            self._pass(foresight, max(1, int((end_ns - self._margin_ns - foresight.phase_ns) / foresight.period_ns)))
        if self._surprises > surprises and self._surprises % _SURPRISES_IN_A_ROW == 0:
            self._doubt(end_ns)
        else:
            self._expect(foresight, end_ns)

    def _doubt(self, now_ns: int) -> None:
        if self._surprises >= 3 * _SURPRISES_IN_A_ROW:  # the counter has another rhythm now
            self._foresight = None
        self.seek(now_ns=now_ns)

    def _saw(self, foresight: Foresight, begin_ns: int, end_ns: int, *, punctual: bool) -> None:
        """The counter moved between these times, which lie near together."""
        seen_ns = (begin_ns + end_ns) / 2
        periods = (seen_ns - foresight.phase_ns) / foresight.period_ns
        ticks = 1 if periods < _NEXT else round(periods)
        self._pass(foresight, ticks)
        late = begin_ns - foresight.phase_ns >= self._margin_ns
        if punctual and (late or self._closer or self.grid_ns):
            self._correct(foresight, seen_ns - foresight.phase_ns)
        if late and punctual:
            self._surprised(foresight)
        elif ticks > 1:
            self._surprises += punctual
        else:
            self._surprises = 0
            margin_ns = self._margin_ns * _NARROWER
            self._margin_ns = margin_ns if margin_ns > _MIN_MARGIN_NS else _MIN_MARGIN_NS  # noqa: FURB136 - slower

    def _surprised(self, foresight: Foresight) -> None:
        self._surprises += 1
        self._margin_ns = min(self._margin_ns * _WIDER, foresight.period_ns / 3)

    def _correct(self, foresight: Foresight, residual_ns: float) -> None:
        foresight.correct(residual_ns)
        self.period_ns = round(foresight.period_ns)
        self.jitter_ns += 0.05 * (abs(residual_ns) - self.jitter_ns)

    def _pass(self, foresight: Foresight, ticks: int) -> None:
        foresight.advance(ticks)
        self.missed += ticks - 1

    def _expect(self, foresight: Foresight, now_ns: int) -> None:
        self._closer = foresight.phase_variance > _UNSURE
        margin_ns = self._margin_ns
        window_ns = margin_ns if self._closer else 2 * margin_ns
        self._step_ns = MAX_BRACKET_NS if window_ns > MAX_BRACKET_NS else int(window_ns)
        due_ns = int(foresight.phase_ns + foresight.period_ns - margin_ns)
        self._overdue_ns = due_ns + int(2 * margin_ns)
        if self.grid_ns:
            due_ns = due_ns // self.grid_ns * self.grid_ns
        self._wanted_ns = due_ns
        self.due_ns = due_ns if due_ns > now_ns else now_ns  # noqa: FURB136 - slower


def _line_through(times_ns: list[int]) -> tuple[float, float]:
    """Period and largest residual of ticks, some of which may be missing, by least squares."""
    gaps = [after - before for before, after in pairwise(times_ns)]
    if not gaps:
        return 0.0, 0.0
    usual = median(gaps)
    numbers = [0]
    for gap in gaps:
        numbers.append(numbers[-1] + max(1, round(gap / usual)))
    mean_number, mean_time = sum(numbers) / len(numbers), sum(times_ns) / len(times_ns)
    spread = sum((number - mean_number) ** 2 for number in numbers)
    together = zip(numbers, times_ns, strict=True)
    period = sum((number - mean_number) * (time - mean_time) for number, time in together) / spread
    residuals = (
        time - mean_time - period * (number - mean_number) for number, time in zip(numbers, times_ns, strict=True)
    )
    return period, max(abs(residual) for residual in residuals)
