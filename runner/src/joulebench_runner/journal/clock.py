"""The two clocks of the journal, and which boot of which machine they belong to."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LINUX_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Functions that give the time in nanoseconds; replaced in tests."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    realtime_ns: Callable[[], int] = time.time_ns


SYSTEM_CLOCK: Final = Clock()


def boot_id() -> str:
    """What changes when CLOCK_MONOTONIC starts anew. Raises OSError where the system does not say."""
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().lower()  # noqa: S603 - fixed command
    return _LINUX_BOOT_ID.read_text().strip()
