"""The exporter's HTTP side: `/metrics`, `/healthz`, `/readyz`. Small on purpose: one GET a connection."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from joulebench_exporter.errors import ListenError
from joulebench_exporter.health import hung, stalled
from joulebench_exporter.metrics import Collector, Source

_TIMEOUT_SECONDS: Final = 5.0
_MOST_HEAD_BYTES: Final = 16 * 1024
_TEXT: Final = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The head of a request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, body and its type."""

    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


Guard = Callable[[Request], Awaitable[Answer | None]]
"""Refuses a request for /metrics, or lets it pass (None)."""


class Pages:
    """What is answered to which path."""

    def __init__(self, source: Source, *, guard: Guard | None = None) -> None:
        self._source = source
        self._guard = guard
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Collector(source))

    async def answer(self, request: Request) -> Answer:
        """One request."""
        if request.method not in {"GET", "HEAD"}:
            return _text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
        match request.path.partition("?")[0]:
            case "/metrics":
                return await self._metrics(request)
            case "/healthz":
                return self._healthz()
            case "/readyz":
                return self._readyz()
            case _:
                return _text(HTTPStatus.NOT_FOUND, "there are /metrics, /healthz and /readyz")

    async def _metrics(self, request: Request) -> Answer:
        refusal = None if self._guard is None else await self._guard(request)
        if refusal is not None:
            return refusal
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Answer(status=HTTPStatus.OK, body=encode(self._registry), content_type=content_type)

    def _healthz(self) -> Answer:
        problem = hung(self._source.sampler, now_ns=self._source.clock.monotonic_ns())
        return _text(HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK, problem or "ok")

    def _readyz(self) -> Answer:
        """Ready as long as one device ticks: a board that is lost must not hide the others."""
        channels = list(self._source.sampler.channels.values())
        silent = stalled(channels, now_ns=self._source.clock.monotonic_ns())
        status = HTTPStatus.SERVICE_UNAVAILABLE if len(silent) == len(channels) else HTTPStatus.OK
        return _text(status, "\n".join(silent) or "ok")


@asynccontextmanager
async def serving_pages(pages: Pages, target: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on host:port; yields the URL. Raises ListenError."""
    host, port = _host_and_port(target)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await _converse(pages, reader, writer)
        writer.close()

    try:
        server = await asyncio.start_server(handle, host, port, ssl=tls, limit=_MOST_HEAD_BYTES)
    except OSError as error:
        raise ListenError(
            f"cannot serve HTTP on {target!r}: {error.strerror or error}", remedy="Is the port in use?"
        ) from error
    async with server:
        bound = server.sockets[0].getsockname()[1]
        yield f"{'http' if tls is None else 'https'}://{target.rpartition(':')[0]}:{bound}"


async def _converse(pages: Pages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request and its answer."""
    request: Request | None = None
    try:
        request = _parse(await reader.readuntil(b"\r\n\r\n"))
        answer = await pages.answer(request)
    except (ValueError, asyncio.LimitOverrunError):
        answer = _text(HTTPStatus.BAD_REQUEST, "this is no HTTP request that can be answered here")
    with_body = request is None or request.method != "HEAD"
    writer.write(_head(answer) + (answer.body if with_body else b""))
    await writer.drain()


def _parse(head: bytes) -> Request:
    """Raises ValueError for what is no HTTP/1 request."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, version = first.split(" ")
    if not version.startswith("HTTP/1.") or not path.startswith("/"):
        raise ValueError("no HTTP/1 request")
    headers = dict(line.split(":", 1) for line in lines if line)
    return Request(
        method=method,
        path=path,
        headers={name.strip().lower(): value.strip() for name, value in headers.items()},
    )


def _head(answer: Answer) -> bytes:
    status = answer.status
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        *(["WWW-Authenticate: Bearer"] if status is HTTPStatus.UNAUTHORIZED else []),
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status=status, body=f"{text}\n".encode())


def _host_and_port(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ListenError(f"cannot serve HTTP on {target!r}", remedy="Write an address and a port: 127.0.0.1:9781.")
    return host.strip("[]"), int(port)
