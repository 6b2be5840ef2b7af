"""Notices that the machine slept: CLOCK_MONOTONIC stood still meanwhile, while energy counters went on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal

LOOK_SECONDS: Final = 1.0
LEAST_SLEEP_NS: Final = 500_000_000
"""No machine sleeps for less; smaller differences come from reading two clocks one after the other."""
_READS: Final = 3


class SleepWatch:
    """Compares the clock that stands still in sleep with one that does not."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._sleep = sleep
        self._slept_ns, self._looked_ns = self._look()

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            await self._sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Journal it if the machine has slept since the last look."""
        slept_ns, now_ns = self._look()
        before_ns, since_ns = self._slept_ns, self._looked_ns
        self._slept_ns, self._looked_ns = slept_ns, now_ns
        length_ns = slept_ns - before_ns
        if length_ns < LEAST_SLEEP_NS:
            return
        self._journal.append(Kind.SUSPEND, start_ns=since_ns, end_ns=now_ns, slept_ns=length_ns)
        message = f"the machine slept for {length_ns / 1e9:.1f} s; what it used then is unattributed (missed_ticks)"
        self._journal.append(Kind.NOTE, topic="clock", subject="suspend", message=message)

    def _look(self) -> tuple[int, int]:
        """All sleep since boot, and the monotonic time. Whoever is held up between two reads reads again."""
        differences = []
        for _ in range(_READS):
            now_ns = self._clock.monotonic_ns()
            differences.append(self._clock.sleepless_ns() - now_ns)
        return min(differences), self._clock.monotonic_ns()
