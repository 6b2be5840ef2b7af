"""What is asked of the API server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from joulebench_operator.kinds import JOB, Key
from joulebench_operator.kube import Kube


@asynccontextmanager
async def api_server(*routes: web.RouteDef) -> AsyncIterator[Kube]:
    """A client of a server with these routes alone."""
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    client = ApiClient(configuration=Configuration(host=f"http://{host}:{port}"))
    try:
        yield Kube(client)
    finally:
        await client.close()  # type: ignore[no-untyped-call]  # the library has no types here
        await runner.cleanup()


async def test_a_long_list_is_read_page_by_page() -> None:
    pages = {None: ("a", "1", "next"), "next": ("b", "2", "last"), "last": ("c", "3", None)}
    asked = []

    async def listed(request: web.Request) -> web.Response:
        asked.append(request.query.get("limit"))
        name, version, following = pages[request.query.get("continue")]
        metadata = {"name": name, "namespace": "team", "resourceVersion": version}
        return web.json_response({"metadata": {"continue": following}, "items": [{"metadata": metadata}]})

    async with api_server(web.get("/apis/batch/v1/jobs", listed)) as kube:
        found = await kube.versions(JOB, None, selector=None)

    assert found == {Key("Job", "team", name): version for name, version, _ in pages.values()}
    assert len(set(asked)) == 1
    assert asked[0] is not None
