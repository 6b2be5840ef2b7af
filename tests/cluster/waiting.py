"""Waiting for something to become true, never longer than a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.cluster.errors import ClusterError

T = TypeVar("T")
_PAUSE_SECONDS = 0.05


def until(
    probe: Callable[[], T],
    *,
    what: str,
    timeout_seconds: float,
    hint: Callable[[], str] = lambda: "",
    pause_seconds: float = _PAUSE_SECONDS,
) -> T:
    """What `probe` returns, once that is true; `what` names it, and `hint` tells at the end why it may be missing.

    Raises:
        ClusterError: not within the limit.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() >= end:
            break
        # Other processes give us no event to wait for, so we look again.
        time.sleep(pause_seconds)
    raise ClusterError(
        f"{what}: not within {timeout_seconds:g} s", remedy=hint() or "see `python -m tests.cluster logs`"
    )
