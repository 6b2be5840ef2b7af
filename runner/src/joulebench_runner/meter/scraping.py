"""One scraper for each replica that has metrics, while it is there."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joulebench_runner.config import Upstream
from joulebench_runner.meter.replicas import Replicas
from joulebench_runner.meter.scrape import Scraper

Make = Callable[[Upstream, str], Scraper]


class Scrapers:
    """Starts and ends scrapers as replicas come and go. Two aliases of one server are one replica."""

    def __init__(self, upstreams: Sequence[Upstream], *, replicas: Mapping[str, Replicas], make: Make) -> None:
        """`replicas` by alias."""
        self._upstreams = [upstream for upstream in upstreams if upstream.metrics_path is not None]
        self._replicas = replicas
        self._make = make
        self._running: dict[tuple[str, str | None], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Scrape until cancelled."""
        try:
            while self._upstreams:
                changes = [asyncio.create_task(self._replicas[one.alias].changed()) for one in self._upstreams]
                self._adjust()
                try:
                    await asyncio.wait([*changes, *self._running.values()], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await _cancelled(changes)
                self._raise_crash()
        finally:
            await _cancelled([*self._running.values()])

    def _adjust(self) -> None:
        wanted = self._wanted()
        for gone in self._running.keys() - wanted.keys():
            self._running.pop(gone).cancel()
        for key in wanted.keys() - self._running.keys():
            upstream, url = wanted[key]
            self._running[key] = asyncio.create_task(self._make(upstream, url).run(), name="scrape")

    def _wanted(self) -> dict[tuple[str, str | None], tuple[Upstream, str]]:
        found: dict[tuple[str, str | None], tuple[Upstream, str]] = {}
        for upstream in self._upstreams:
            for url in self._replicas[upstream.alias].urls:
                found.setdefault((url, upstream.metrics_path), (upstream, url))
        return found

    def _raise_crash(self) -> None:
        for task in self._running.values():
            if task.done():
                task.result()


async def _cancelled(tasks: "Sequence[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
