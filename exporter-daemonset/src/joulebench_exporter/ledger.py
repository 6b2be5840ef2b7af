"""From reads of a raw counter to ticks: exact, in integers, without a clock and without I/O."""

from typing import Final

from joulebench_exporter.counter import Counter
from joulebench_exporter.ticks import Tick, TickFlag

_UNKNOWN: Final = 0
"""Counts that are booked where the true number is not known; the RESET flag says so."""


class Ledger:
    """One device's account. Feed it every read in order; it answers with a tick whenever the counter has moved."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._always = TickFlag.INTEGRATED if counter.integrated else TickFlag.NONE
        self._pending = TickFlag.NONE
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
        self._pending |= TickFlag.GAP

    def observe(self, count: int, *, start_ns: int, end_ns: int) -> Tick | None:
        """Book one read, made between the two times. None: the counter has not moved since the last read."""
        if self._count is None:
            self._origin_count = count
            return self._tick(count, counts=0, flags=TickFlag.NONE, start_ns=start_ns, end_ns=end_ns)
        if count == self._count:
            self._unchanged_since_ns = start_ns
            return None
        counts, flags = self._moved(count - self._count, elapsed_ns=end_ns - self._unchanged_since_ns)
        return self._tick(count, counts=counts, flags=flags, start_ns=start_ns, end_ns=end_ns)

    def _moved(self, difference: int, *, elapsed_ns: int) -> tuple[int, TickFlag]:
        """How many counts the counter has moved on, seen this difference of two reads."""
        wraps_at = self._counter.wraps_at
        if self._may_have_wrapped_unseen(elapsed_ns):
            return _UNKNOWN, TickFlag.RESET | TickFlag.GAP
        if difference > 0:
            return difference, TickFlag.NONE
        if wraps_at is None or difference + wraps_at <= 0:
            return _UNKNOWN, TickFlag.RESET
        if self._counter.exceeds_max_power(difference + wraps_at, elapsed_ns=elapsed_ns):
            return _UNKNOWN, TickFlag.RESET
        return difference + wraps_at, TickFlag.WRAPPED

    def _may_have_wrapped_unseen(self, elapsed_ns: int) -> bool:
        counter = self._counter
        if counter.wraps_at is None or counter.max_watts is None:
            return False
        return not counter.exceeds_max_power(counter.wraps_at, elapsed_ns=elapsed_ns)

    def _tick(self, count: int, *, counts: int, flags: TickFlag, start_ns: int, end_ns: int) -> Tick:
        bracket_ns = self._bracket_ns(start_ns=start_ns, end_ns=end_ns)
        self._sequence += 1
        self._total_counts += counts
        self._count, self._unchanged_since_ns = count, start_ns
        flags |= self._pending | self._always
        self._pending = TickFlag.NONE
        return Tick(
            sequence=self._sequence,
            time_ns=end_ns,
            bracket_ns=bracket_ns,
            energy_mj=self._counter.millijoules(self._total_counts),
            flags=flags,
        )

    def _bracket_ns(self, *, start_ns: int, end_ns: int) -> int:
        """The longest time ago that the counter can have moved to its new value."""
        read_ns = end_ns - start_ns
        if self._count is None:
            return read_ns
        since_old_value_ns = end_ns - self._unchanged_since_ns
        if self._counter.update_period_ns is None:
            return since_old_value_ns
        return min(since_old_value_ns, self._counter.update_period_ns + read_ns)
