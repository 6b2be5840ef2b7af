"""Scraping a server's metrics: what is read, what is noted when nothing comes, and how many calls were ours."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from joulebench_runner.config import Upstream
from joulebench_runner.journal.clock import Clock
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.client import AiohttpClient
from joulebench_runner.meter.in_flight import InFlight
from joulebench_runner.meter.scrape import Sample, Scraper, parse_metrics, running

Serve = Callable[..., Awaitable[Any]]
VLLM = """# HELP vllm:num_requests_running Running
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b{c}"} 3.0
vllm:num_requests_running{engine="1",model_name="x"} 2.0 1700000000
vllm:gpu_cache_usage_perc 0.25
some_bucket{le="+Inf",} 7

odd{le="1"} NaN
not a metric
broken{ 1 2 3
"""


def test_prometheus_text_is_read_line_by_line() -> None:
    samples = parse_metrics(VLLM)
    assert samples[:4] == [
        Sample("vllm:num_requests_running", 'engine="0",model_name="a b{c}"', 3.0),
        Sample("vllm:num_requests_running", 'engine="1",model_name="x"', 2.0),
        Sample("vllm:gpu_cache_usage_perc", "", 0.25),
        Sample("some_bucket", 'le="+Inf"', 7.0),
    ]
    assert samples[4].name == "odd"
    assert math.isnan(samples[4].value)
    assert len(samples) == 5


def test_running_requests_are_summed_over_engines() -> None:
    assert running(parse_metrics(VLLM)) == 5.0
    assert running([Sample("llamacpp:requests_processing", "", 1.0)]) == 1.0


def test_a_server_that_does_not_say_leaves_running_open() -> None:
    assert running([Sample("other", "", 1.0)]) is None
    assert running([Sample("vllm:num_requests_running", "", math.nan)]) is None


def text_page(text: str, *, status: int = 200) -> Any:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    return handle


@pytest.fixture
def scraper(journal: Journal, client: AiohttpClient) -> Callable[..., Scraper]:
    def make(url: str, *, in_flight: InFlight | None = None, **options: Any) -> Scraper:
        upstream = Upstream(alias="model", role="model", model="m", base_urls=[f"{url}/v1"], metrics_path="/metrics")
        return Scraper(
            upstream,
            base_url=f"{url}/v1",
            client=client,
            journal=journal,
            in_flight=in_flight or InFlight(),
            **options,
        )

    return make


async def scraped(journal: Journal, tmp_path: Path) -> list[dict[str, Any]]:
    await journal.commit()
    rows: list[dict[str, Any]] = read(tmp_path / "journal").table(Kind.SCRAPE).to_pylist()
    return rows


async def test_a_scrape_is_journalled(
    serve: Serve, scraper: Callable[..., Scraper], journal: Journal, tmp_path: Path
) -> None:
    server = await serve(text_page(VLLM))
    await scraper(server.url).scrape()
    (row,) = await scraped(journal, tmp_path)
    assert (row["alias"], row["server_url"], row["running"], row["error"]) == ("model", f"{server.url}/v1", 5.0, None)
    assert row["names"][2:4] == ["vllm:gpu_cache_usage_perc", "some_bucket"]
    assert row["labels"][2:4] == ["", 'le="+Inf"']
    assert row["values"][2:4] == [0.25, 7.0]
    assert row["send_ns"] <= row["receive_ns"]
    assert server.asked[0].path == "/metrics"


async def test_a_scrape_that_fails_says_why(
    serve: Serve, scraper: Callable[..., Scraper], journal: Journal, tmp_path: Path, unused_tcp_port: int
) -> None:
    server = await serve(text_page("no", status=404))
    await scraper(server.url).scrape()
    await scraper(f"http://127.0.0.1:{unused_tcp_port}").scrape()
    first, second = await scraped(journal, tmp_path)
    assert first["error"].endswith("/metrics answered HTTP 404")
    assert "cannot connect" in second["error"]
    assert (first["running"], first["names"]) == (None, [])


async def test_the_most_of_our_own_calls_during_the_scrape_is_kept(
    serve: Serve, scraper: Callable[..., Scraper], journal: Journal, tmp_path: Path
) -> None:
    in_flight = InFlight()
    url = ""

    async def handle(_request: web.Request) -> web.StreamResponse:
        for _ in range(2):
            in_flight.begin(alias="judge", url=url)
        for _ in range(2):
            in_flight.end(alias="judge", url=url)
        in_flight.begin(alias="model", url="http://elsewhere/v1")
        return web.Response(text="")

    server = await serve(handle)
    url = f"{server.url}/v1"
    in_flight.begin(alias="model", url=url)
    await scraper(server.url, in_flight=in_flight).scrape()
    (row,) = await scraped(journal, tmp_path)
    assert row["own_in_flight"] == 3


async def test_scrapes_keep_their_rhythm_and_skip_what_they_missed(
    serve: Serve, scraper: Callable[..., Scraper], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += int(seconds * 1e9)
        if len(slept) == 3:
            raise asyncio.CancelledError

    made = scraper("http://127.0.0.1:9", clock=Clock(monotonic_ns=lambda: now[0]), sleep=sleep)
    took = iter([0.2, 2.5, 0.0])

    async def scrape() -> None:
        now[0] += int(next(took) * 1e9)

    monkeypatch.setattr(made, "scrape", scrape)
    with pytest.raises(asyncio.CancelledError):
        await made.run()
    assert slept == pytest.approx([0.8, 0.5, 1.0])
