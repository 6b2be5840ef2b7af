"""The only way to the model: an OpenAI-compatible proxy that times every call and changes no answer.

Events of a stream are passed on byte for byte; for a caller that did not ask for a stream the answer is put together.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.meter.assemble import Assembler
from joulebench_runner.meter.chunks import is_usage_only
from joulebench_runner.meter.client import CallError, Request, TimedClient
from joulebench_runner.meter.request import CallerRequest, caller_headers, parse, upstream_headers
from joulebench_runner.meter.upstream import BrokenStreamError, Call, Caller, StreamedEvent, UpstreamServer

BODY_LIMIT_BYTES: Final = 256 * 1024 * 1024
_CALL_ID: Final = re.compile(r"(?P<query_id>[A-Za-z0-9_-]+)\.(?P<attempt>[0-9]{1,9})")
_ENDPOINTS: Final = ("chat/completions", "completions", "embeddings")
_JSON: Final = "application/json"


class Proxy:
    """The routes; `application()` is what a server serves."""

    def __init__(
        self, servers: Mapping[str, UpstreamServer], *, client: TimedClient, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`servers` by alias."""
        self._servers = servers
        self._client = client
        self._clock = clock

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[_errors_as_json])
        for prefix in ("/m/{alias}/q/{call}/v1", "/m/{alias}/v1"):
            for endpoint in _ENDPOINTS:
                app.router.add_post(f"{prefix}/{endpoint}", self._endpoint(endpoint))
            app.router.add_get(f"{prefix}/models", self._models)
        return app

    def _endpoint(self, endpoint: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._call(request, endpoint)

        return handle

    async def _call(self, request: web.Request, endpoint: str) -> web.StreamResponse:
        server = self._server(request)
        query_id, attempt = _billed_to(request)
        body = await request.read()
        caller = Caller(query_id=query_id, attempt=attempt, intended_ns=self._clock.monotonic_ns())
        asked = parse(endpoint=endpoint, headers=request.headers, body=body)
        tries, cuts = 0, 0
        while True:
            try:
                call = await server.open(asked, caller=caller, tries_before=tries)
            except CallError as error:
                return _failure(error)
            relay = _Relay(request, asked, call)
            response = await relay.run()
            if relay.cut is None or not server.asks_after_cut(relay.cut, cuts=cuts):
                return response
            tries, cuts = call.record.retry + 1, cuts + 1

    async def _models(self, request: web.Request) -> web.StreamResponse:
        """Passed through; no tokens are made, so it is no call in the journal."""
        server = self._server(request)
        headers = upstream_headers(request.headers, credentials=server.credentials)
        try:
            url = f"{(await server.any_url()).rstrip('/')}/models"
            response = await self._client.send(Request(url=url, method="GET", headers=headers))
            body = b"".join([data async for _, data in response.reads()])
        except CallError as error:
            return _failure(error)
        response.close()
        return _whole(response.status, response.headers, body)

    def _server(self, request: web.Request) -> UpstreamServer:
        alias = request.match_info["alias"]
        server = self._servers.get(alias)
        if server is None:
            known = ", ".join(sorted(self._servers))
            raise _NotFoundError(f"no model has the alias {alias!r}; this meter serves: {known}")
        return server


class _Relay:
    """Hands one call's answer to its caller."""

    def __init__(self, request: web.Request, asked: CallerRequest, call: Call) -> None:
        self._request = request
        self._asked = asked
        self._call = call
        self._response: web.StreamResponse | None = None
        self.cut: CallError | None = None
        """Why the answer is not whole, if nothing of it was passed on: another try would not be noticed."""

    async def run(self) -> web.StreamResponse:
        """Relay to the end; the call is journalled before the caller can know that it is over."""
        try:
            return await self._relay()
        except CallError as error:
            self._call.end(error=error)
            self.cut = error if self._response is None else None
            return self._broken_off(error)
        except (asyncio.CancelledError, ConnectionError):
            # Cancelled by the web server when the caller's connection closes; a write to it may notice first.
            self._call.cancel()
            raise

    async def _relay(self) -> web.StreamResponse:
        call = self._call
        if not call.is_stream:
            content = await call.content()
            call.end()
            return _whole(call.status, call.headers, content)
        if self._asked.streams:
            return await self._stream()
        assembler = Assembler()
        async for event in call.events():
            if event.chunk is not None:
                assembler.feed(event.chunk)
        call.end()
        return _whole(call.status, call.headers, orjson.dumps(assembler.answer()), content_type=_JSON)

    async def _stream(self) -> web.StreamResponse:
        held: list[bytes] = []
        async for event in self._call.events():
            if event.done:
                held.append(event.raw)  # until the call is journalled: whoever reads the end mark may go at once
            elif not self._is_ours(event):
                response = await self._prepared()
                await response.write(event.raw)
        self._call.end()
        response = await self._prepared()
        for raw in held:
            await response.write(raw)
        await response.write_eof()
        return response

    def _is_ours(self, event: StreamedEvent) -> bool:
        """Whether this is the usage chunk that we asked for and the caller did not."""
        return event.chunk is not None and not self._asked.wants_usage and is_usage_only(event.chunk)

    async def _prepared(self) -> web.StreamResponse:
        """The caller's stream, begun with its first event: what fails before is told with an HTTP status."""
        if self._response is None:
            self._response = web.StreamResponse(status=self._call.status, headers=caller_headers(self._call.headers))
            await self._response.prepare(self._request)
        return self._response

    def _broken_off(self, error: CallError) -> web.StreamResponse:
        if self._response is None:
            return _failure(error)
        # The caller must not take half an answer for a whole one: no last chunk, just a closed connection.
        transport = self._request.transport
        if transport is not None:
            transport.close()
        return self._response


class _NotFoundError(Exception):
    """Nothing is served under this path."""


def _billed_to(request: web.Request) -> tuple[str | None, int | None]:
    """Query id and attempt of the path; None for paths without."""
    text = request.match_info.get("call")
    if text is None:
        return None, None
    found = _CALL_ID.fullmatch(text)
    if found is None:
        raise _NotFoundError(f"{text!r} is not QUERY_ID.ATTEMPT, such as 0123456789abcdef.0")
    return found["query_id"], int(found["attempt"])


def _whole(
    status: int, headers: Mapping[str, str], body: bytes, *, content_type: str | None = None
) -> web.StreamResponse:
    passed = caller_headers(headers)
    if content_type is not None:
        passed = {name: value for name, value in passed.items() if name.lower() != "content-type"}
        passed["Content-Type"] = content_type
    return web.Response(status=status, headers=passed, body=body)


def _failure(error: CallError) -> web.Response:
    """An error in the form of the OpenAI API; the server's own, where it sent one."""
    sent = error.error if isinstance(error, BrokenStreamError) else None
    if sent is None:
        return _error(502, error.message, kind=f"upstream_{error.kind}")
    code = sent.get("code") if isinstance(sent, Mapping) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 502
    return web.Response(status=status, body=orjson.dumps({"error": sent}), content_type=_JSON)


def _error(status: int, message: str, *, kind: str) -> web.Response:
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return web.Response(status=status, body=orjson.dumps(body), content_type=_JSON)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except _NotFoundError as error:
        return _error(404, str(error), kind="not_found_error")
    except web.HTTPRequestEntityTooLarge:
        return _error(413, f"the request is larger than {BODY_LIMIT_BYTES} bytes", kind="invalid_request_error")
    except web.HTTPMethodNotAllowed as error:
        return _error(405, f"{request.path} does not take {error.method}", kind="invalid_request_error")
    except web.HTTPNotFound:
        served = ", ".join((*_ENDPOINTS, "models"))
        return _error(404, f"{request.path} is not served; under /m/ALIAS/v1 are: {served}", kind="not_found_error")
    return response
