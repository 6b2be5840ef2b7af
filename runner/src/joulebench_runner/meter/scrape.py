"""Follows a model server's own Prometheus metrics, once a second, so that load which is not ours is seen."""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from joulebench_runner.config import Upstream
from joulebench_runner.errors import ServerError
from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.client import Request, TimedClient
from joulebench_runner.meter.credentials import NO_CREDENTIALS, Credentials
from joulebench_runner.meter.in_flight import InFlight

SCRAPE_SECONDS: Final = 5.0
"""A scrape that takes longer is given up."""
RUNNING_METRICS: Final = ("vllm:num_requests_running", "llamacpp:requests_processing")
_LINE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*")


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of Prometheus' text format; `labels` as it stands between the braces."""

    name: str
    labels: str
    value: float


def parse_metrics(text: str) -> list[Sample]:
    """The samples of a page in Prometheus' text format 0.0.4; comments and lines that are none are left out."""
    found = (_LINE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    samples = (_sample(match) for match in found if match is not None)
    return [sample for sample in samples if sample is not None]


def running(samples: Iterable[Sample]) -> float | None:
    """How many requests the server says it is working on; None if it does not say."""
    values = [sample.value for sample in samples if sample.name in RUNNING_METRICS and math.isfinite(sample.value)]
    return sum(values) if values else None


class Scraper:
    """Scrapes one server until it is cancelled."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        base_url: str,
        client: TimedClient,
        journal: Journal,
        in_flight: InFlight,
        credentials: Credentials = NO_CREDENTIALS,
        interval_seconds: float = 1.0,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`upstream.metrics_path` must be set; `base_url` is one of its replicas."""
        parts = urlsplit(base_url)
        self._url = f"{parts.scheme}://{parts.netloc}{upstream.metrics_path}"
        self._alias = upstream.alias
        self._base_url = base_url
        self._client = client
        self._journal = journal
        self._in_flight = in_flight
        self._headers = dict(credentials.headers)
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Scrape at fixed times; a slow scrape skips those it missed."""
        next_ns = self._clock.monotonic_ns()
        interval_ns = int(self._interval_seconds * 1e9)
        while True:
            await self.scrape()
            now_ns = self._clock.monotonic_ns()
            next_ns += interval_ns * max(1, -(-(now_ns - next_ns) // interval_ns))
            await self._sleep((next_ns - now_ns) / 1e9)

    async def scrape(self) -> None:
        """Scrape once and journal what came, or why nothing did."""
        error: str | None = None
        samples: Sequence[Sample] = ()
        with self._in_flight.watch(self._base_url) as watch:
            send_ns = self._clock.monotonic_ns()
            try:
                samples = parse_metrics(await self._page())
            except ServerError as failure:
                error = failure.message
            receive_ns = self._clock.monotonic_ns()
        self._journal.append(
            Kind.SCRAPE,
            alias=self._alias,
            server_url=self._base_url,
            send_ns=send_ns,
            receive_ns=receive_ns,
            own_in_flight=watch.most,
            running=running(samples),
            names=[sample.name for sample in samples],
            labels=[sample.labels for sample in samples],
            values=[sample.value for sample in samples],
            error=error,
        )

    async def _page(self) -> str:
        try:
            async with asyncio.timeout(SCRAPE_SECONDS):
                response = await self._client.send(Request(url=self._url, method="GET", headers=self._headers))
                try:
                    content = b"".join([data async for _, data in response.reads()])
                finally:
                    response.close()
        except TimeoutError as error:
            raise ServerError(f"no metrics within {SCRAPE_SECONDS:g} s") from error
        if response.status != 200:
            raise ServerError(f"GET {self._url} answered HTTP {response.status}")
        return content.decode(errors="replace")


def _sample(match: re.Match[str]) -> Sample | None:
    name, labels, value = match.groups()
    try:
        return Sample(name, (labels or "").strip().removesuffix(","), float(value))
    except ValueError:
        return None
