"""Copies a run to its store while it goes on, in the background: nobody who asks or answers ever waits for it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from joulebench_api.contracts.meter import StoreState
from joulebench_runner.errors import StoreError
from joulebench_runner.store.patience import AT_THE_END, Patience, waits
from joulebench_runner.store.store import Store
from joulebench_runner.store.uploading import SETTINGS, SUMMARY, is_segment, names_in, put_other, put_segment, upload

_Value = TypeVar("_Value")


class Copier:
    """Copies one run's folder. Belongs to one event loop; all work is done in a thread of its own.

    While the run goes on it never gives up: the segments lie on this machine's disk. Only `finish` has an end.
    """

    def __init__(
        self,
        opened: Callable[[], Store],
        folder: Path,
        *,
        url: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`opened` gives the store; it is called in the thread, because opening one takes time."""
        self._opened = opened
        self._store: Store | None = None
        self._folder = folder
        self._url = url
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._wake = asyncio.Event()
        self._last_error: str | None = None
        self._copied: set[str] = set()
        # What lies there already: the settings, and segments of earlier starts.
        names = names_in(folder)
        self._waiting = deque(name for name in names if name.startswith(f"{SETTINGS}/"))
        self._waiting.extend(name for name in names if is_segment(name))

    def segment_closed(self, path: Path) -> None:
        """A segment has been closed and may be copied. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._enqueue, path.relative_to(self._folder).as_posix())

    def state(self) -> StoreState:
        """How far the store is behind, for everybody."""
        return StoreState(
            url=self._url, behind=sum(is_segment(name) for name in self._waiting), last_error=self._last_error
        )

    async def run(self) -> None:
        """Copy what has closed, one after the other, until cancelled."""
        await self._stubborn(self._begin)
        while True:
            while self._waiting:
                name = self._waiting[0]
                await self._stubborn(lambda name=name: self._copy(name))  # type: ignore[misc]  # mypy has no lambda defaults
                self._waiting.popleft()
            self._wake.clear()
            await self._wake.wait()

    async def finish(self, *, patience: Patience = AT_THE_END) -> None:
        """Copy all that is left of the folder, the summary last. `run` must have ended.

        Raises StoreError if the store is away, or refuses, for longer than `patience`.
        """
        try:
            await self._in_thread(
                lambda: upload(self._open().with_patience(patience), self._folder, skip=self._copied.__contains__)
            )
        except StoreError as error:
            self._last_error = error.message
            raise
        self._waiting.clear()
        self._last_error = None

    def close(self) -> None:
        """Wait for nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _enqueue(self, name: str) -> None:
        self._waiting.append(name)
        self._wake.set()

    async def _stubborn(self, work: Callable[[], None]) -> None:
        for wait in waits():
            try:
                await self._in_thread(work)
            except StoreError as error:
                self._last_error = error.message
                await self._sleep(wait)
            else:
                self._last_error = None
                return

    async def _in_thread(self, work: Callable[[], _Value]) -> _Value:
        return await self._loop.run_in_executor(self._thread, work)

    def _open(self) -> Store:
        if self._store is None:
            self._store = self._opened()
        return self._store

    def _begin(self) -> None:
        """From now on the run goes on: a summary of an earlier start does not tell of a whole run any more."""
        self._open().delete(SUMMARY)

    def _copy(self, name: str) -> None:
        if is_segment(name):
            put_segment(self._open(), self._folder, name)
            self._copied.add(name)
        else:
            put_other(self._open(), self._folder, name)
