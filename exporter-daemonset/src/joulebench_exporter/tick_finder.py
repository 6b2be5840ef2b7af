"""When a counter ticks: found by reading often, then foretold, so that few reads see every tick in a narrow bracket.

**Found**: reads every 2 ms until enough ticks were seen; the period is the slope of a line through their times.
**Followed**: one read lies a margin before the foretold time, the next a margin after it (or 4.3 ms after the first),
and so on until the counter has moved: two reads for most ticks. Every fourth tick is looked at more closely, with a
read in the middle: whether it came before or after that corrects phase and period a little (an alpha-beta filter, with
the gains of a least-squares line while it is young). A tick that came before its first read widens the margin, each
other one narrows it a trace, so that about one in a thousand comes too early, whatever the jitter.
**Many counters** with short periods are cheaper to read together: `grid_ns` moves all reads to a common grid.

Pure: it is told of reads and says when to read next.
"""

from collections import deque
from enum import Enum
from itertools import pairwise
from statistics import median
from typing import Final

MAX_BRACKET_NS: Final = 4_700_000
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
_PHASE_GAIN: Final = 0.1
_PERIOD_GAIN: Final = 0.005
_CLOSER_LOOK_EVERY: Final = 8
_YOUNG: Final = 40
_EARLY_IN_A_ROW: Final = 3
_RETRY_NS: Final = 100_000_000


class State(Enum):
    """How much is known."""

    SEEKING = "seeking"
    """Reads often, to see when the ticks are."""
    FOLLOWING = "following"
    """Foretells the next tick."""
    FREE = "free"
    """The counter has no ticks worth finding."""


class TickFinder:
    """One counter's ticks. Times are monotonic nanoseconds."""

    def __init__(self) -> None:
        self.state = State.SEEKING
        self.due_ns = 0
        """When to read next; not for State.FREE."""
        self.period_ns: int | None = None
        self.missed = 0
        """Ticks that went by between two reads, since the first was followed."""
        self.jitter_ns = 0.0
        """Mean distance between where ticks were foretold and where they were seen."""
        self._margin_ns = float(MAX_BRACKET_NS)
        self._seen: deque[int] = deque(maxlen=_MOST_SEEK_TICKS)
        self._wanted_ns = 0
        """When the next read should be; `due_ns` is later where that time is over."""
        self._moved_ns: int | None = None
        """While seeking: when the counter moved last, or the search began."""
        self._phase_ns = 0.0
        self._exact_period_ns = 0.0
        self._early = 0
        self._looks = 0
        """Ticks that phase and period rest on."""
        self._ticks = 0
        self._since_look = 0
        self._closer = False
        self.grid_ns: int | None = None
        """Reads of a followed counter lie on multiples of this; None: where they serve it best."""

    def seek(self, *, now_ns: int) -> None:
        """Forget the phase (after a silence, a reset or too many surprises) and look for it again at once."""
        self.state = State.SEEKING
        self.due_ns = self._moved_ns = now_ns
        self._seen.clear()
        self._early = 0

    def failed(self, *, now_ns: int) -> None:
        """A read failed: try again a little later, and take nothing for granted."""
        self.seek(now_ns=now_ns)
        self.due_ns = now_ns + _RETRY_NS

    def unchanged(self, *, end_ns: int) -> None:
        """A read saw the old value."""
        if self.state is State.SEEKING:
            self._seek_on(end_ns)
        elif self.grid_ns:
            self.due_ns = (end_ns // self.grid_ns + 1) * self.grid_ns
        else:
            self.due_ns = max(end_ns, self.due_ns) + self._step_ns()
        self._wanted_ns = self.due_ns

    def moved(self, *, start_ns: int, end_ns: int, bracket_ns: int) -> None:
        """A read saw a new value, which is not older than `bracket_ns`."""
        if self.state is State.SEEKING:
            self._found(end_ns, bracket_ns)
        else:
            self._follow(start_ns, end_ns, bracket_ns)

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
        if self.period_ns is not None:  # only the phase was lost
            return True
        full = len(self._seen) == self._seen.maxlen
        return full or (len(self._seen) > _SEEK_GAPS and now_ns - self._seen[0] >= _SEEK_NS)

    def _lock(self, now_ns: int) -> None:
        if self.period_ns is None:
            self._exact_period_ns, largest_ns = _line_through(list(self._seen))
            self._margin_ns = max(largest_ns, _MIN_MARGIN_NS)
            self._looks = len(self._seen)
        else:
            self._margin_ns += _MIN_MARGIN_NS
        self._phase_ns = float(self._seen[-1])
        self._seen.clear()
        self.period_ns = round(self._exact_period_ns)
        self.state = State.FOLLOWING if self.period_ns >= SHORTEST_PERIOD_NS else State.FREE
        self._early = 0
        self._expect(now_ns)

    def _step_ns(self) -> int:
        return round(min(self._margin_ns if self._closer else 2 * self._margin_ns, MAX_BRACKET_NS))

    def _follow(self, start_ns: int, end_ns: int, bracket_ns: int) -> None:
        if bracket_ns <= 2 * MAX_BRACKET_NS:
            self._saw(end_ns - bracket_ns, end_ns)
        elif (
            start_ns - self._wanted_ns > self._margin_ns
        ):  # we came late ourselves: nothing is learned about the counter
            self._pass(max(1, int((end_ns + self._margin_ns - self._phase_ns) / self._exact_period_ns)))
        else:
            self._came_early()
        if self.state is State.FOLLOWING:
            self._expect(end_ns)

    def _saw(self, begin_ns: int, end_ns: int) -> None:
        """The counter moved between these times, which lie near together."""
        seen_ns = (begin_ns + end_ns) / 2
        self._pass(max(1, round((seen_ns - self._phase_ns) / self._exact_period_ns)))
        came_late = begin_ns - self._phase_ns >= self._margin_ns
        if self._closer or came_late or self.grid_ns:
            self._correct(seen_ns - self._phase_ns)
        self._early = 0
        self._set_margin(self._margin_ns * (_WIDER if came_late else _NARROWER))

    def _came_early(self) -> None:
        """The tick was before the first read of its window, so its bracket is wide."""
        self._pass(1)
        self._correct(-self._margin_ns)
        self._set_margin(self._margin_ns * _WIDER)
        self._early += 1
        if self._early >= _EARLY_IN_A_ROW:
            self.seek(now_ns=self.due_ns)

    def _correct(self, residual_ns: float) -> None:
        self._looks += 1
        looks = self._looks
        # The gains of a straight line through all looks so far, until they are as small as is good for a live one.
        phase_gain = max(_PHASE_GAIN, 2 * (2 * looks - 1) / (looks * (looks + 1)))
        period_gain = max(_PERIOD_GAIN, 6 / (looks * (looks + 1)))
        self._phase_ns += phase_gain * residual_ns
        self._exact_period_ns += period_gain * residual_ns / self._since_look
        self._since_look = 0
        self.period_ns = round(self._exact_period_ns)
        self.jitter_ns += 0.05 * (abs(residual_ns) - self.jitter_ns)

    def _pass(self, ticks: int) -> None:
        self._ticks += ticks
        self._since_look += ticks
        self._phase_ns += ticks * self._exact_period_ns
        self.missed += ticks - 1

    def _set_margin(self, margin_ns: float) -> None:
        self._margin_ns = min(max(margin_ns, _MIN_MARGIN_NS), self._exact_period_ns / 3)

    def _expect(self, now_ns: int) -> None:
        self._closer = self._looks < _YOUNG or self._since_look >= _CLOSER_LOOK_EVERY - 1
        due_ns = round(self._phase_ns + self._exact_period_ns - self._margin_ns)
        if self.grid_ns:
            due_ns = due_ns // self.grid_ns * self.grid_ns
        self._wanted_ns = due_ns
        self.due_ns = max(now_ns, due_ns)


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
