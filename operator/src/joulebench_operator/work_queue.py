"""Which objects are to be looked at: client-go's work queue (https://pkg.go.dev/k8s.io/client-go/util/workqueue).

A key that is added many times is looked at once. A key that is being looked at is never given out a second time; if it
is added meanwhile, it comes again afterwards. Keys can be added for later, and failures make a key wait ever longer.

Newcomers have a line of their own: what has just been made waits for its first look alone, what goes on already is
looked at many times.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from joulebench_operator.kinds import Key

FIRST_DELAY_SECONDS: Final = 0.4
LONGEST_DELAY_SECONDS: Final = 60.0


class WorkQueue:
    """Keys, each at most once. For one event loop.

    Args:
        waited: is told how long each key has waited, in seconds.
    """

    def __init__(self, *, waited: Callable[[float], None] = lambda _: None) -> None:
        self._clock = asyncio.get_running_loop().time
        self._waited = waited
        self._waiting: dict[Key, float] = {}
        """Keys to be given out, in order, with the time since when they wait."""
        self._newcomers: dict[Key, float] = {}
        """Those of them that were never looked at; the two lines take turns."""
        self._last_was_newcomer = False
        self._processing: dict[Key, float] = {}
        self._again: dict[Key, float] = {}
        """Keys that were added while they were being looked at."""
        self._due: dict[Key, tuple[float, asyncio.TimerHandle]] = {}
        self._failures: dict[Key, int] = {}
        self._ready = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    def add(self, key: Key, *, is_new: bool = False) -> None:
        """Have it looked at soon."""
        self._cancel(key)
        since = self._clock()
        if key in self._processing:
            self._again.setdefault(key, since)
        elif key not in self._waiting and key not in self._newcomers:
            (self._newcomers if is_new else self._waiting)[key] = since
            self._wake()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have it looked at in a while; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock() + seconds
        if key in self._due and self._due[key][0] <= due:
            return
        self._cancel(key)
        timer = asyncio.get_running_loop().call_later(seconds, self._now_due, key)
        self._due[key] = (due, timer)

    async def get(self) -> Key:
        """The key that waits longest in its line; whoever takes it says `done`."""
        async with self._ready:
            await self._ready.wait_for(lambda: self.depth > 0)
            line = self._next_line()
            key = next(iter(line))
            self._processing[key] = self._clock()
            self._waited(self._processing[key] - line.pop(key))
            return key

    def _next_line(self) -> dict[Key, float]:
        is_newcomers = bool(self._newcomers) and not (self._waiting and self._last_was_newcomer)
        self._last_was_newcomer = is_newcomers
        return self._newcomers if is_newcomers else self._waiting

    def done(self, key: Key) -> None:
        """It was looked at."""
        del self._processing[key]
        if key in self._again:
            self._waiting[key] = self._again.pop(key)
            self._wake()

    def failed(self, key: Key, *, at_least_seconds: float = 0.0) -> float:
        """Looking at it failed: it comes again, later each time. The delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(min(FIRST_DELAY_SECONDS * 2.0 ** min(failures, 30), LONGEST_DELAY_SECONDS), at_least_seconds)
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """Looking at it went well: its failures are forgotten."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """The object is gone: nothing of it is waited for."""
        self._failures.pop(key, None)
        self._cancel(key)

    @property
    def depth(self) -> int:
        """How many keys wait."""
        return len(self._waiting) + len(self._newcomers)

    @property
    def oldest_seconds(self) -> float:
        """How long the first of them has waited."""
        since = [*self._waiting.values(), *self._newcomers.values()]
        return self._clock() - min(since) if since else 0.0

    @property
    def longest_processing_seconds(self) -> float:
        """How long the longest visit that goes on now has taken."""
        return self._clock() - min(self._processing.values()) if self._processing else 0.0

    def _now_due(self, key: Key) -> None:
        self._due.pop(key, None)
        self.add(key)

    def _cancel(self, key: Key) -> None:
        found = self._due.pop(key, None)
        if found is not None:
            found[1].cancel()

    def _wake(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)

    async def _notify(self) -> None:
        async with self._ready:
            self._ready.notify()
