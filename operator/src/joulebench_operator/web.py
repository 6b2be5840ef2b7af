"""HTTP: `/metrics` on one address, `/healthz` and `/readyz` on another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import generate_latest

from joulebench_operator import metrics
from joulebench_operator.errors import BadOptionError
from joulebench_operator.health import Health

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_UNAVAILABLE: Final = 503


@asynccontextmanager
async def serving(*, metrics_listen: str, probes_listen: str, health: Health) -> AsyncIterator[None]:
    """Serve both; on leaving, both are closed. Raises BadOptionError for an address that cannot be had."""
    runners: list[web.AppRunner] = []
    try:
        for application, address in ((_metrics(health), metrics_listen), (_probes(health), probes_listen)):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            runners.append(runner)
            host, _, port = address.rpartition(":")
            await _listen(runner, host, int(port))
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host.strip("[]") or None, port).start()
    except OSError as error:
        message = f"cannot listen at {host}:{port}: {error.strerror or error}"
        raise BadOptionError(message, remedy="Choose another by --metrics-listen or --probes-listen.") from error


def _metrics(health: Health) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        queue = health.queue
        metrics.QUEUE_DEPTH.set(queue.depth if queue else 0)
        metrics.LONGEST_VISIT.set(queue.longest_processing_seconds if queue else 0)
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": _TEXT})

    application = web.Application()
    application.router.add_get("/metrics", answer)
    return application


def _probes(health: Health) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        problem = health.problem()
        return web.Response(text=problem or "ok", status=200 if problem is None else _UNAVAILABLE)

    application = web.Application()
    application.router.add_get("/healthz", answer)
    application.router.add_get("/readyz", answer)
    return application
