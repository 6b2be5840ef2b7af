"""Which addresses serve one alias at the moment, and which of them gets the next call."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal

Routing = Literal["LeastInFlight", "RoundRobin", "Service"]

REST_SECONDS: Final = 3.0
"""An address that took no connection is not tried again for so long: it may be that of a pod that is gone, which DNS
still names."""


class Replicas:
    """The addresses of one alias, each with its `/v1`. Belongs to one event loop."""

    def __init__(
        self,
        urls: Sequence[str] = (),
        *,
        routing: Routing = "LeastInFlight",
        changing: bool = False,
        now: Callable[[], float] | None = None,
    ) -> None:
        """`changing`: others may come, so it is worth waiting for one. `now` in seconds, as the event loop counts."""
        self.changing = changing
        self._urls = tuple(urls)
        self._routing = routing
        self._now = now or asyncio.get_running_loop().time
        self._turn = 0
        self._rests_until: dict[str, float] = {}
        self._change = asyncio.Event()
        self._wanted = asyncio.Event()

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them now."""
        return self._urls

    def update(self, urls: Sequence[str]) -> None:
        """These are the addresses from now on. Those that are gone get no further call."""
        if set(urls) == set(self._urls):
            return
        self._urls = tuple(urls)
        self._rests_until = {url: until for url, until in self._rests_until.items() if url in urls}
        self._change.set()
        self._change = asyncio.Event()

    def choose(self, *, tried: AbstractSet[str], in_flight: Callable[[str], int]) -> str | None:
        """The address for a call: untried ones first, then by the routing; None without any.

        LeastInFlight takes the one with the fewest of our calls, and among equals they take turns; RoundRobin the next
        in turn.
        """
        urls = self._awake()
        if not urls:
            return None
        self._turn += 1
        turns = [urls[(self._turn + offset) % len(urls)] for offset in range(len(urls))]
        counts = self._routing == "LeastInFlight"
        return min(turns, key=lambda url: (url in tried, in_flight(url) if counts else 0))

    def lost(self, url: str) -> None:
        """It took no connection: look at once whether it is still there."""
        if self.changing:
            self._rests_until[url] = self._now() + REST_SECONDS
        self.look()

    def look(self) -> None:
        """Have somebody look for changes at once."""
        self._wanted.set()

    def changed(self) -> Coroutine[Any, Any, bool]:
        """The next change, from this moment on."""
        return self._change.wait()

    async def some(self, *, within_seconds: float) -> bool:
        """Wait until there is an address to ask, if others may come."""
        deadline = self._now() + within_seconds
        while not self._awake() and self.changing and self._now() < deadline:
            waking = min([deadline, *self._rests_until.values()])
            await _happens(self.changed(), max(waking - self._now(), 0.01))
        return bool(self._awake())

    async def wanted(self, *, within_seconds: float) -> None:
        """Wait until somebody wants a look, at most so long."""
        await _happens(self._wanted.wait(), within_seconds)
        self._wanted.clear()

    def _awake(self) -> tuple[str, ...]:
        now = self._now()
        return tuple(url for url in self._urls if self._rests_until.get(url, now) <= now)


async def _happens(event: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return
