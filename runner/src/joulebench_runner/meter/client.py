"""The timed client: sends one request and stamps what comes back, read by read.

`TimedClient` is all that the meter knows of it, so that another implementation (its own socket reader, stamps of the
kernel) can take the place of this one.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Final, Protocol

import aiohttp

from joulebench_runner.errors import ServerError

CONNECT_SECONDS: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 4.0  # below the 5 s after which uvicorn and llama.cpp close idle connections
_PROBES: Final = (
    # Names of tcp(7); on macOS the first one is called otherwise.
    ("TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 6),
)
"""A machine that is cut off or lost sends no end. One that does not answer for 90 s is given up; a model that thinks
for longer is not, as its machine answers in its place."""
_READ_BUFFER_BYTES: Final = 1024 * 1024
_WHOLE_BODY_BYTES: Final = 512 * 1024


class ErrorKind(StrEnum):
    """Why a call failed."""

    CONNECT = "connect"
    """No connection to the server."""
    STATUS = "status"
    """The server answered with an error."""
    CLOSED = "closed"
    """The server closed the connection before the answer was complete."""
    BROKEN_STREAM = "broken_stream"
    """The server sent something that is no stream of chunks."""
    TIMEOUT = "timeout"
    """The connection could not be made in time."""
    CANCELLED = "cancelled"
    """Whoever asked went away."""


class CallError(ServerError):
    """A call failed, and how. `before_headers`: nothing of an answer had come."""

    def __init__(self, message: str, *, kind: ErrorKind, before_headers: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.before_headers = before_headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to a model server."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str]
    body: bytes = b""


class Response(Protocol):
    """An answer whose status and headers have come."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers; names in any case."""

    @property
    def headers_ns(self) -> int:
        """When the headers had come."""

    def reads(self) -> AsyncIterator[tuple[int, bytes]]:
        """The body as it comes: when each read came (CLOCK_MONOTONIC, ns) and its bytes.

        Raises CallError (closed) if the connection ends before the body does.
        """

    def close(self) -> None:
        """Let go. Before the end of the body this closes the connection at once, which tells the server to stop."""


class TimedClient(Protocol):
    """Sends requests. Never follows redirects, unpacks, retries or times out by itself, but for connecting."""

    async def send(self, request: Request) -> Response:
        """Send and wait for the headers. Raises CallError (connect, timeout, closed)."""

    async def close(self) -> None:
        """Close all connections."""


class AiohttpClient:
    """The plain implementation: aiohttp, stamps taken when the event loop hands us the bytes."""

    def __init__(self, *, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS, socket_factory=_probed_socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )

    async def send(self, request: Request) -> Response:
        """See TimedClient."""
        headers = {**request.headers, "Accept-Encoding": "identity"}
        try:
            response = await self._session.request(
                request.method, request.url, data=_data(request.body), headers=headers, allow_redirects=False
            )
        except aiohttp.ConnectionTimeoutError as error:
            message = f"no connection to {request.url} within {CONNECT_SECONDS:g} s"
            raise CallError(message, kind=ErrorKind.TIMEOUT, before_headers=True) from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            message = f"cannot connect to {request.url}: {_cause(error)}"
            raise CallError(message, kind=ErrorKind.CONNECT, before_headers=True) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"{request.url} closed the connection before it answered: {_words(error)}"
            raise CallError(message, kind=ErrorKind.CLOSED, before_headers=True) from error
        return _AiohttpResponse(response, monotonic_ns=self._monotonic_ns)

    async def close(self) -> None:
        """See TimedClient."""
        await self._session.close()


class _AiohttpResponse:
    def __init__(self, response: aiohttp.ClientResponse, *, monotonic_ns: Callable[[], int]) -> None:
        self._response = response
        self._monotonic_ns = monotonic_ns
        self.headers_ns = monotonic_ns()

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def reads(self) -> AsyncIterator[tuple[int, bytes]]:
        content = self._response.content
        try:
            while data := await content.readany():
                yield self._monotonic_ns(), data
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            message = f"{self._response.url} closed the connection in the middle of the answer: {_words(error)}"
            raise CallError(message, kind=ErrorKind.CLOSED) from error

    def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _probed_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES:
        made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _data(body: bytes) -> bytes | BytesIO | None:
    """Large bodies as files: aiohttp sends those piece by piece."""
    if not body:
        return None
    return body if len(body) <= _WHOLE_BODY_BYTES else BytesIO(body)


def _cause(error: Exception) -> str:
    """Why there is no connection, in the system's own words: aiohttp's repeat the address, and tell of its settings."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or _words(cause)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
