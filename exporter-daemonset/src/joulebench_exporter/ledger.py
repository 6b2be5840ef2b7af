"""From reads of a raw counter to ticks: exact, in integers, without a clock and without I/O."""

from typing import Final

from joulebench_exporter.counter import Counter
from joulebench_exporter.ticks import Tick, TickFlag

# Plain numbers: an operator of IntFlag costs more than all the rest of a tick.
_GAP: Final = TickFlag.GAP.value
_RESET: Final = TickFlag.RESET.value
_WRAPPED: Final = TickFlag.WRAPPED.value
_INTEGRATED: Final = TickFlag.INTEGRATED.value

_UNKNOWN: Final = 0
"""Counts that are booked where the true number is not known; the RESET flag says so."""


class Ledger:
    """One device's account. Feed it every read in order; it answers with a tick whenever the counter has moved."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._always = _INTEGRATED if counter.integrated else 0
        self._pending = 0
        self._wraps_at, self._update_period_ns = counter.wraps_at, counter.update_period_ns
        # Millijoules are counts x this / that; asking the fraction each time would cost four calls.
        self._numerator = counter.microjoules_per_count.numerator
        self._denominator = counter.microjoules_per_count.denominator * 1000
        self._sequence = 0
        # The sum is kept in raw counts, so that rounding to millijoules never adds up.
        self._total_counts = 0
        self._count: int | None = None
        self._origin_count: int | None = None
        self._unchanged_since_ns = 0

    @property
    def origin_uj(self) -> int | None:
        """What the counter said at the first tick, in microjoules; None before it, and for sums of our own."""
        if self._origin_count is None or self._counter.integrated:
            return None
        return self._counter.microjoules(self._origin_count)

    def miss(self) -> None:
        """A read failed or came late: the next tick says that there was a gap."""
        self._pending |= _GAP

    def observe(self, count: int, *, start_ns: int, end_ns: int) -> Tick | None:
        """Book one read, made between the two times. None: the counter has not moved since the last read."""
        if count == self._count:
            self._unchanged_since_ns = start_ns
            return None
        if self._count is None:
            self._origin_count = count
            return self._tick(count, counts=0, flags=0, start_ns=start_ns, end_ns=end_ns)
        counts, flags = self._moved(count - self._count, elapsed_ns=end_ns - self._unchanged_since_ns)
        return self._tick(count, counts=counts, flags=flags, start_ns=start_ns, end_ns=end_ns)

    def _moved(self, difference: int, *, elapsed_ns: int) -> tuple[int, int]:
        """How many counts the counter has moved on, seen this difference of two reads; and flags."""
        wraps_at = self._wraps_at
        if wraps_at is None:
            return (difference, 0) if difference > 0 else (_UNKNOWN, _RESET)
        if self._may_have_wrapped_unseen(wraps_at, elapsed_ns=elapsed_ns):
            return _UNKNOWN, _RESET | _GAP
        if difference > 0:
            return difference, 0
        if difference + wraps_at <= 0:
            return _UNKNOWN, _RESET
        if self._counter.exceeds_max_power(difference + wraps_at, elapsed_ns=elapsed_ns):
            return _UNKNOWN, _RESET
        return difference + wraps_at, _WRAPPED

    def _may_have_wrapped_unseen(self, wraps_at: int, *, elapsed_ns: int) -> bool:
        counter = self._counter
        return counter.max_watts is not None and not counter.exceeds_max_power(wraps_at, elapsed_ns=elapsed_ns)

    def _tick(self, count: int, *, counts: int, flags: int, start_ns: int, end_ns: int) -> Tick:
        bracket_ns = self._bracket_ns(start_ns=start_ns, end_ns=end_ns)
        self._sequence += 1
        self._total_counts += counts
        self._count, self._unchanged_since_ns = count, start_ns
        flags |= self._pending | self._always
        self._pending = 0
        energy_mj = self._total_counts * self._numerator // self._denominator
        # By position: passing them by name takes twice as long.
        return Tick(self._sequence, end_ns, bracket_ns, energy_mj, flags)

    def _bracket_ns(self, *, start_ns: int, end_ns: int) -> int:
        """The longest time ago that the counter can have moved to its new value."""
        read_ns = end_ns - start_ns
        if self._count is None:
            return read_ns
        since_old_value_ns = end_ns - self._unchanged_since_ns
        if self._update_period_ns is None:
            return since_old_value_ns
        return min(since_old_value_ns, self._update_period_ns + read_ns)
