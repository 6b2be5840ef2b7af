"""A scripted model server, a meter's proxy in front of it, and a client that asks through it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from joulebench_runner.config import Upstream
from joulebench_runner.journal.reader import JournalContents, read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.client import AiohttpClient
from joulebench_runner.meter.http import serve_tcp
from joulebench_runner.meter.proxy import Proxy
from joulebench_runner.meter.replicas import Replicas
from joulebench_runner.meter.state import MeterState
from joulebench_runner.meter.upstream import UpstreamServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as the scripted server saw it."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


@dataclass
class Script:
    """Answers the n-th request with the n-th handler; the last one answers all that follow."""

    handlers: list[Handler]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a caller left while it was being answered."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.path, dict(request.headers), await request.read()))
        self.begun.set()
        try:
            return await self.handlers[min(len(self.asked), len(self.handlers)) - 1](request)
        except asyncio.CancelledError:
            self.gone.set()
            raise


def as_json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")

    return handle


def as_stream(*pieces: bytes, then: str = "end") -> Handler:
    """Writes the pieces one by one; `then` ends in order, `cut`s the connection, or `hang`s."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if then == "hang":
            await asyncio.Event().wait()
        if then == "cut":
            assert request.transport is not None
            request.transport.close()
        return response

    return handle


async def reset(request: web.Request) -> web.StreamResponse:
    """Closes the connection before any byte of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def event(chunk: Any) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def text_chunk(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return event({"id": "c1", "object": "chat.completion.chunk", "model": "served", "choices": [choice], **more})


def end_chunk(reason: str = "stop") -> bytes:
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    return event({"id": "c1", "object": "chat.completion.chunk", "model": "served", "choices": [choice]})


def usage_chunk(*, prompt: int = 5, output: int = 2, cached: int | None = None) -> bytes:
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return event({"id": "c1", "object": "chat.completion.chunk", "model": "served", "choices": [], "usage": usage})


DONE = b"data: [DONE]\n\n"


class Words:
    """Builders for scripts, so that test modules need not import this one."""

    json = staticmethod(as_json)
    stream = staticmethod(as_stream)
    reset = staticmethod(reset)
    event = staticmethod(event)
    text = staticmethod(text_chunk)
    end = staticmethod(end_chunk)
    usage = staticmethod(usage_chunk)
    done = DONE
    answer = (text_chunk("Hel"), text_chunk("lo"), end_chunk(), usage_chunk(cached=3), DONE)


@pytest.fixture
def say() -> Words:
    return Words()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What tests start is stopped, last first."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def serve(stack: AsyncExitStack) -> Callable[..., Awaitable[Script]]:
    """Starts a scripted model server."""

    async def start(*handlers: Handler) -> Script:
        script = Script(list(handlers))
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", script.handle)
        runner, url = await serve_tcp(app, host="127.0.0.1", port=0, name="scripted server")
        stack.push_async_callback(runner.cleanup)
        script.url = url
        return script

    return start


@dataclass
class Front:
    """A proxy and what it left in its journal."""

    url: str
    state: MeterState
    session: aiohttp.ClientSession
    slept: list[float]
    journal: Journal
    folder: Path

    async def contents(self) -> JournalContents:
        await self.journal.commit()
        return read(self.folder)

    async def calls(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.contents()).table(Kind.CALL).to_pylist()
        return rows

    async def rows(self, kind: Kind) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.contents()).table(kind).to_pylist()
        return rows

    def path(self, endpoint: str, *, query: str | None = "00ff00ff00ff00ff.2", alias: str = "model") -> str:
        billed = f"/q/{query}" if query else ""
        return f"{self.url}/m/{alias}{billed}/v1/{endpoint}"

    def post(self, body: Any, *, endpoint: str = "chat/completions", query: str | None = "00ff00ff00ff00ff.2") -> Any:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Content-Type": "application/json", "Authorization": "Bearer the caller's own"}
        # A file, because aiohttp warns of large bodies that are none.
        return self.session.post(self.path(endpoint, query=query), data=BytesIO(data), headers=headers)

    async def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many calls are journalled: a caller that leaves is noticed after it has left."""
        for _ in range(500):
            if len(calls := await self.calls()) >= count:
                return calls
            await asyncio.sleep(0.01)
        raise AssertionError(f"{count} calls were not journalled in time")


@pytest.fixture
async def journal(tmp_path: Path, stack: AsyncExitStack) -> Journal:
    opened = Journal(tmp_path / "journal", run_id="run-1", run_name="run", instance_id="meter-1")
    stack.push_async_callback(opened.close)
    return opened


@pytest.fixture
async def client(stack: AsyncExitStack) -> AiohttpClient:
    made = AiohttpClient()
    stack.push_async_callback(made.close)
    return made


@pytest.fixture
def front(
    stack: AsyncExitStack, tmp_path: Path, journal: Journal, client: AiohttpClient
) -> Callable[..., Awaitable[Front]]:
    """Starts a proxy in front of scripted servers, all replicas of one model `served`."""

    async def start(
        *scripts: Script, environ: dict[str, str] | None = None, changing: bool = False, **options: Any
    ) -> Front:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(0)

        urls = [f"{script.url}/v1" for script in scripts]
        fields = {"alias": "model", "role": "model", "model": "served", "base_urls": urls, "max_retries": 2}
        upstream = Upstream.model_validate(fields | options)
        state = MeterState(
            run_id="run-1",
            aliases=["model"],
            on_finding=lambda alias, words: journal.append(Kind.NOTE, topic="server", subject=alias, message=words),
        )
        server = UpstreamServer(
            upstream,
            client=client,
            journal=journal,
            state=state,
            environ=environ or {},
            sleep=sleep,
            replicas=Replicas(urls, changing=True) if changing else None,
        )
        app = Proxy({"model": server}, client=client).application()
        runner, url = await serve_tcp(app, host="127.0.0.1", port=0, name="proxy")
        stack.push_async_callback(runner.cleanup)
        session = aiohttp.ClientSession()
        stack.push_async_callback(session.close)
        return Front(url, state, session, slept, journal, tmp_path / "journal")

    return start
