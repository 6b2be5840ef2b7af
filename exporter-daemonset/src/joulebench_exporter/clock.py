"""The machine's clocks, behind an interface that tests can wind."""

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

# CLOCK_BOOTTIME (Linux) and macOS's CLOCK_MONOTONIC go on while the machine sleeps; `time.monotonic` stands still.
_SLEEPLESS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_SHORT_WAIT_NS: Final = 150_000_000


class Clock(Protocol):
    """What the exporter asks of time."""

    def monotonic_ns(self) -> int:
        """The clock of all ticks."""
        ...

    def realtime_ns(self) -> int:
        """Nanoseconds since 1970."""
        ...

    def boottime_ns(self) -> int:
        """Since the machine was started, its sleep included."""
        ...

    def wait_until(self, deadline_ns: int, stop: threading.Event) -> bool:
        """Sleep until that monotonic time; True: `stop` was set."""
        ...


class SystemClock:
    """The real clocks, or (for tests) those of a machine that was started earlier."""

    def __init__(self, *, ahead_ns: int = 0) -> None:
        """`ahead_ns`: how much longer ago that other machine was started."""
        self.ahead_ns = ahead_ns
        # The sampler asks several hundred times a second, so it gets the plain function where that will do.
        self.monotonic_ns: Callable[[], int] = (
            (lambda: time.monotonic_ns() + ahead_ns) if ahead_ns else time.monotonic_ns
        )
        """CLOCK_MONOTONIC."""

    def realtime_ns(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns()

    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME, or what comes next to it."""
        return time.clock_gettime_ns(_SLEEPLESS) + self.ahead_ns

    def wait_until(self, deadline_ns: int, stop: threading.Event) -> bool:
        """Long waits are on the event, so that a stop is noticed at once; short ones sleep, which costs a third."""
        wait_ns = deadline_ns - self.monotonic_ns()
        if wait_ns > _SHORT_WAIT_NS:
            return stop.wait(wait_ns / 1e9)
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        return stop.is_set()
