"""One timer for everybody who does something at intervals, so that they wake up together."""

import asyncio


class Beat:
    """Strikes at multiples of its period while somebody waits for it."""

    def __init__(self, *, period_seconds: float) -> None:
        self.number = 0
        """How often it has struck."""
        self._period_seconds = period_seconds
        self._struck = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self) -> None:
        """Until it strikes next."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at((loop.time() // self._period_seconds + 1) * self._period_seconds, self.strike)
        await self._struck.wait()

    def strike(self) -> None:
        """Wake up all who wait: now, not when it is time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.number += 1
        self._struck.set()
        self._struck.clear()
