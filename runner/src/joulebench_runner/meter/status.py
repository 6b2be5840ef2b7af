"""The meter's read-only face: status, metrics, health. No prompts, no answers, no keys."""

from collections.abc import Callable, Iterable

from aiohttp import web

from joulebench_api.contracts.meter import MeterStatus
from joulebench_runner.meter.state import MeterState


def application(state: MeterState, *, status: Callable[[], MeterStatus]) -> web.Application:
    """The aiohttp application: `/status`, `/metrics`, `/healthz`."""

    async def get_status(_request: web.Request) -> web.Response:
        return web.Response(text=status().model_dump_json(), content_type="application/json")

    async def get_metrics(_request: web.Request) -> web.Response:
        text = metrics_text(state, status())
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def get_health(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.add_routes([
        web.get("/status", get_status),
        web.get("/metrics", get_metrics),
        web.get("/healthz", get_health),
    ])  # fmt: skip
    return app


def metrics_text(state: MeterState, status: MeterStatus) -> bytes:
    """The same figures in Prometheus' text format."""
    # Only scraped meters pay for the import.
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # noqa: PLC0415
    from prometheus_client.core import CounterMetricFamily, Metric  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    registry = CollectorRegistry()

    def gauge(name: str, words: str, value: float | None) -> None:
        if value is not None:
            Gauge(f"joulebench_meter_{name}", words, registry=registry).set(value)

    progress, energy = status.progress, status.energy
    gauge("questions", "Questions that the run will ask.", progress.total)
    questions = Gauge("joulebench_meter_questions_by_state", "Questions so far.", ["state"], registry=registry)
    for name in ("asked", "answered", "correct", "incorrect", "unscored", "errors"):
        questions.labels(name).set(getattr(progress, name))
    gauge("output_tokens", "Output tokens of the model under test.", progress.output_tokens)
    gauge("output_tokens_per_second", "Output tokens, mean of the last 10 s.", progress.output_tokens_per_second)
    gauge("unjoined_calls", "Calls that named no question.", status.unjoined_calls)
    gauge("energy_devices", "Energy counters that are followed.", energy.devices)
    gauge("power_watts", "Power of all followed devices.", energy.watts)
    gauge("energy_joules", "Energy since the measured window began.", energy.joules)
    in_flight = Gauge("joulebench_meter_calls_in_flight", "Calls being answered.", ["alias"], registry=registry)
    for server in status.servers:
        in_flight.labels(server.alias).set(server.in_flight)

    class Calls(Collector):
        def collect(self) -> Iterable[Metric]:
            calls = CounterMetricFamily("joulebench_meter_calls", "Ended calls.", labels=["alias", "outcome"])
            for (alias, outcome), count in sorted(state.calls.items()):
                calls.add_metric([alias, outcome], count)
            return [calls]

    registry.register(Calls())
    return generate_latest(registry)
