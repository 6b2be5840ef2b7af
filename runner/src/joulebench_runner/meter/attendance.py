"""Whether a driver is there. Each holds one request open for as long as it lives; the kernel closes it for the dead."""

import asyncio
from collections.abc import Awaitable


class Attendance:
    """Counts the drivers that are there. Belongs to one event loop."""

    def __init__(self) -> None:
        self._present = 0
        self._came, self._left = asyncio.Event(), asyncio.Event()
        self._left.set()
        self._dismissal: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def attend(self) -> str:
        """A driver is there until this is cancelled. Returns, with the reason, when it is to end."""
        self._present += 1
        self._came.set()
        self._left.clear()
        try:
            return await asyncio.shield(self._dismissal)
        finally:
            self._present -= 1
            if not self._present:
                self._came.clear()
                self._left.set()

    def dismiss(self, reason: str) -> None:
        """Ask the driver, and any that comes later, to end."""
        if not self._dismissal.done():
            self._dismissal.set_result(reason)

    async def left(self, *, within_seconds: float) -> bool:
        """Whether no driver is there, now or soon."""
        return await _happens(self._left.wait(), within_seconds)

    async def missed(self, *, first_seconds: float, again_seconds: float) -> str:
        """Return once no driver came within `first_seconds`, or one left and none came back within `again_seconds`.

        What returns says which it was.
        """
        if not await _happens(self._came.wait(), first_seconds):
            return f"no driver came within {first_seconds:g} s"
        while True:
            await self._left.wait()
            if not await _happens(self._came.wait(), again_seconds):
                return f"the driver died, and none came back within {again_seconds:g} s"


async def _happens(event: Awaitable[object], seconds: float) -> bool:
    try:
        await asyncio.wait_for(event, seconds)
    except TimeoutError:
        return False
    return True
