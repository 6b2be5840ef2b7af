"""An event loop whose time we turn."""

import asyncio
import selectors


class _Turning(selectors.DefaultSelector):
    """Does not wait: the time that it should have waited has passed at once."""

    passed_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed_seconds += timeout or 0.0
        return super().select(0)


class TurnedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when there is nothing else to do."""

    def __init__(self) -> None:
        self._turning = _Turning()
        super().__init__(self._turning)

    def time(self) -> float:
        return self._turning.passed_seconds
