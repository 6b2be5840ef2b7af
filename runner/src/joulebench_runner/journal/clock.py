"""The clocks of the journal, and which boot of which machine they belong to."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# CLOCK_BOOTTIME (Linux) and macOS's CLOCK_MONOTONIC go on while the machine sleeps; `time.monotonic` stands still.
_SLEEPLESS: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_LINUX_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def _sleepless_ns() -> int:
    return time.clock_gettime_ns(_SLEEPLESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Functions that give the time in nanoseconds; replaced in tests."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    realtime_ns: Callable[[], int] = time.time_ns
    sleepless_ns: Callable[[], int] = _sleepless_ns
    """As `monotonic_ns`, plus all the time that the machine slept."""


SYSTEM_CLOCK: Final = Clock()


def boot_id() -> str:
    """What changes when CLOCK_MONOTONIC starts anew. Raises OSError where the system does not say."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().lower()  # noqa: S603 - fixed command
    return _LINUX_BOOT_ID.read_text().strip()
