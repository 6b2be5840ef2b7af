"""HTTP/1.1 for a server that mostly streams: one object a connection, one exchange at a time, nothing copied twice."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from random import Random
from typing import Any, Final, cast

import httptools

BODY_LIMIT_BYTES: Final = 64 * 1024 * 1024
_PIECE_PAUSE_SECONDS: Final = 0.0005


class Exchange:
    """One request, and the answer to it."""

    def __init__(self, connection: "Connection", *, keep_alive: bool) -> None:
        self.method = ""
        self.path = ""
        self.headers: dict[str, str] = {}
        """Names in lower case."""
        self.body = b""
        self.gone: Callable[[], None] | None = None
        """Called if the client goes away before the answer is complete."""
        self.cut_by: Random | None = None
        """Cuts what is sent into small pieces, each in a packet of its own."""
        self.ended = False
        self._connection = connection
        self._keep_alive = keep_alive
        self._chunked = False

    def respond(self, status: int, body: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Answer at once and whole. `headers` may name another type than JSON."""
        lines = {"Content-Type": "application/json", **(headers or {}), "Content-Length": str(len(body))}
        self._send(_head(status, lines, keep_alive=self._keep_alive) + body)
        self._done()

    def begin(self, *, content_type: str) -> None:
        """Begin an answer that comes in chunks."""
        self._chunked = True
        lines = {"Content-Type": content_type, "Cache-Control": "no-cache", "Transfer-Encoding": "chunked"}
        self._send(_head(200, lines, keep_alive=self._keep_alive))

    def chunk(self, data: bytes) -> None:
        """Send a chunk."""
        self._send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """The answer is complete."""
        self._send(b"0\r\n\r\n")
        self._done()

    def abort(self) -> None:
        """Close the connection in the middle of the answer."""
        self.gone = None
        self._connection.close_after_sending()

    def _send(self, data: bytes) -> None:
        if self.cut_by is None:
            self._connection.send(data)
        else:
            self._connection.send_pieces(_cut(data, self.cut_by))

    def _done(self) -> None:
        self.ended = True
        self.gone = None
        self._connection.exchange_done(keep_alive=self._keep_alive)


Handler = Callable[[Exchange], None]


class Connection(asyncio.Protocol):
    """One client's connection; its requests are handled one after the other."""

    def __init__(self, handle: Handler, connections: "set[Connection]") -> None:
        self._handle = handle
        self._connections = connections
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._receiving: Exchange | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._pieces: deque[bytes | None] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # Not asked for by isinstance: uvloop's transports have no common base with asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.send(_head(400, {"Content-Length": "0"}, keep_alive=False))
            self.close_after_sending()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why makes no difference
        """See asyncio.Protocol."""
        self._connections.discard(self)
        self._transport = None
        self._queue.clear()
        current, self._current = self._current, None
        if current is not None and current.gone is not None:
            current.gone()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        self._receiving = Exchange(self, keep_alive=True)
        self._parts, self._size = [], 0

    def on_url(self, url: bytes) -> None:
        """Its path."""
        assert self._receiving is not None  # noqa: S101 - on_message_begin came first
        self._receiving.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        assert self._receiving is not None  # noqa: S101 - see on_url
        self._receiving.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """All of them."""
        if self._receiving is not None and self._receiving.headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._size += len(data)
        if self._size <= BODY_LIMIT_BYTES:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        exchange, self._receiving = self._receiving, None
        assert exchange is not None  # noqa: S101 - see on_url
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.body = b"".join(self._parts)
        exchange._keep_alive = self._parser.should_keep_alive()
        self._queue.append(exchange)
        self._next()

    # what an exchange asks for

    def send(self, data: bytes) -> None:
        """Send, after any pieces that are still to be sent."""
        if self._pieces:
            self._pieces.append(data)
        elif self._transport is not None:
            self._transport.write(data)

    def send_pieces(self, pieces: list[bytes]) -> None:
        """Send each piece by itself, with a pause after it."""
        idle = not self._pieces
        self._pieces.extend(pieces)
        if idle:
            self._send_piece()

    def close_after_sending(self) -> None:
        """Close when everything is sent."""
        if self._pieces:
            self._pieces.append(None)
        elif self._transport is not None:
            self._transport.close()

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The current exchange has its answer."""
        self._current = None
        if keep_alive:
            self._next()
        else:
            self.close_after_sending()

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        if self._current is None and self._queue:
            self._current = self._queue.popleft()
            self._handle(self._current)

    def _send_piece(self) -> None:
        # The piece stays in the queue while it pauses, so that nothing overtakes it.
        piece = self._pieces[0]
        if self._transport is None:
            self._pieces.clear()
        elif piece is None:
            self._transport.close()
        else:
            self._transport.write(piece)
            asyncio.get_running_loop().call_later(_PIECE_PAUSE_SECONDS, self._piece_sent)

    def _piece_sent(self) -> None:
        if self._pieces:
            self._pieces.popleft()
        if self._pieces:
            self._send_piece()


def _head(status: int, headers: Mapping[str, str], *, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _cut(data: bytes, random: Random) -> list[bytes]:
    pieces, at = [], 0
    while at < len(data):
        size = random.randint(1, 7)
        pieces.append(data[at : at + size])
        at += size
    return pieces
