"""Calls to one model server: which replica, with what body and key, how often again. Each try is a call of its own."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from joulebench_api.contracts.identity import request_id
from joulebench_runner.config import Upstream
from joulebench_runner.errors import ServerError
from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.chunks import DONE, JsonObject, error_of
from joulebench_runner.meter.client import CallError, ErrorKind, Request, Response, TimedClient
from joulebench_runner.meter.credentials import from_environment
from joulebench_runner.meter.record import CallRecord
from joulebench_runner.meter.replicas import Replicas
from joulebench_runner.meter.request import (
    STREAMED_ENDPOINTS,
    Abilities,
    CallerRequest,
    asks_for_stream,
    lesser_abilities,
    upstream_body,
    upstream_headers,
)
from joulebench_runner.meter.retry import RETRIED_STATUSES, delay_seconds
from joulebench_runner.meter.sse import Splitter
from joulebench_runner.meter.state import MeterState

AFTER_DONE_SECONDS: Final = 1.0
"""How long a server may hold the connection open after `[DONE]`."""
_NOTHING: Final = frozenset({b"", b"null"})  # llama.cpp sends `null` after each of several prompts
_EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whom a call is billed to, and when it should have been sent."""

    query_id: str | None
    attempt: int | None
    intended_ns: int


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One event of an answer: its bytes, and the chunk in it (None for comments and the end mark)."""

    raw: bytes
    chunk: JsonObject | None
    done: bool = False


class BrokenStreamError(CallError):
    """The server sent an error instead of a chunk; `error` is what it sent."""

    def __init__(self, message: str, *, error: Any = None) -> None:
        super().__init__(message, kind=ErrorKind.BROKEN_STREAM)
        self.error = error


class UpstreamServer:
    """One alias: sends its calls, keeps count of them, journals every one."""

    def __init__(
        self,
        settings: Upstream,
        *,
        client: TimedClient,
        journal: Journal,
        state: MeterState,
        environ: Mapping[str, str],
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        replicas: Replicas | None = None,
    ) -> None:
        """`environ` holds key and headers, if the server needs some. Raises BadInputError if it does not.

        `replicas`: where the server is; the addresses of its settings, unless others are found out.
        """
        self.settings = settings
        self.replicas = replicas or Replicas(settings.base_urls, routing=settings.routing)
        self.credentials = from_environment(
            settings.alias,
            key_variable=settings.key_variable,
            headers_variable=settings.headers_variable,
            environ=environ,
        )
        self._client = client
        self._journal = journal
        self._state = state
        self._clock = clock
        self._sleep = sleep
        self._abilities = Abilities()

    async def open(self, request: CallerRequest, *, caller: Caller, tries_before: int = 0) -> "Call":
        """Send a request, again where that helps; return the call whose answer is to be relayed, good or bad.

        `tries_before`: tries whose answers were cut. Raises CallError when no answer came.
        """
        abilities = Abilities(stream=self._abilities.stream, stream_options=self._abilities.stream_options)
        learning = False
        tried: set[str] = set()
        retry = unreached = tries_before
        patient_until_ns = self._clock.monotonic_ns() + int(self.settings.ready_timeout_seconds * 1e9)
        while True:
            url = await self._choose(tried)
            tried.add(url)
            call = self._begin(request, caller=caller, abilities=abilities, url=url, retry=retry)
            failure, lesser = await self._try(call, request=request, abilities=None if learning else abilities)
            if lesser is not None:
                call.end()
                abilities, learning = lesser, True
                retry += 1
                continue
            if learning and failure is None and call.status < 400:
                self._learn(abilities)
            if self._is_elsewhere(failure, url) and self._clock.monotonic_ns() < patient_until_ns:
                # No try of the server's: it is not there any more, or not yet again. `_choose` waits for it.
                retry, unreached = retry + 1, unreached + 1
                continue
            if retry - unreached >= self.settings.max_retries or not self._helps(call, failure, tried):
                if failure is not None:
                    raise failure
                return call
            retry += 1
            call.end()
            await self._sleep(delay_seconds(retry - unreached, headers=call.headers, now=self._now()))

    def asks_after_cut(self, failure: CallError, *, cuts: int) -> bool:
        """Whether to ask again where an answer was cut `cuts` times before: its pod goes, and others may come. A server
        that stays where it is would cut it again."""
        if failure.kind is not ErrorKind.CLOSED or not self.replicas.changing:
            return False
        self.replicas.look()
        return cuts < self.settings.max_retries

    async def any_url(self) -> str:
        """Any replica's address. Raises CallError."""
        return await self._choose(set())

    def redact(self, text: bytes) -> bytes:
        """Text of the server's without our secrets in it."""
        return self.credentials.hidden(text)

    def _begin(self, request: CallerRequest, *, caller: Caller, abilities: Abilities, url: str, retry: int) -> "Call":
        body = upstream_body(request, upstream=self.settings, abilities=abilities)
        record = CallRecord(
            call_id=secrets.token_hex(8),
            alias=self.settings.alias,
            role=self.settings.role,
            stage=self._state.stage.value,
            query_id=caller.query_id,
            attempt=caller.attempt,
            retry=retry,
            endpoint=request.endpoint,
            model=request.model,
            server_url=url,
            caller_streamed=request.streams,
            upstream_streamed=asks_for_stream(request, abilities=abilities),
            intended_ns=caller.intended_ns,
            send_ns=self._clock.monotonic_ns(),
            request_bytes=len(body),
        )
        return Call(record, body=body, server=self, journal=self._journal, state=self._state, clock=self._clock)

    async def _try(
        self, call: "Call", *, request: CallerRequest, abilities: Abilities | None
    ) -> tuple[CallError | None, Abilities | None]:
        """Send once. Gives the failure, if no answer came, and how the server would rather be asked, if it says so.

        `abilities` is None when the answer stands, whatever it says.
        """
        record = call.record
        own_id = request_id(call_id=record.call_id, query_id=record.query_id, attempt=record.attempt)
        headers = upstream_headers(request.headers, credentials=self.credentials, request_id=own_id)
        url = f"{call.record.server_url.rstrip('/')}/{request.endpoint}"
        try:
            await call.send(self._client, Request(url=url, headers=headers, body=call.body))
            return None, None if abilities is None else await call.wish(request, abilities)
        except CallError as error:
            call.end(error=error)
            return error, None
        except asyncio.CancelledError:
            call.cancel()
            raise

    def _helps(self, call: "Call", failure: CallError | None, tried: set[str]) -> bool:
        """Whether another try may end better."""
        if failure is None:
            return call.status in RETRIED_STATUSES
        if failure.kind in {ErrorKind.CONNECT, ErrorKind.TIMEOUT}:
            return bool(set(self.replicas.urls) - tried)
        return failure.kind is ErrorKind.CLOSED and failure.before_headers

    def _is_elsewhere(self, failure: CallError | None, url: str) -> bool:
        """Whether a replica could not be reached, and others may come."""
        if failure is None:
            return False
        if failure.kind is ErrorKind.CLOSED:
            # Perhaps only an idle connection; if the pod is gone, the next try will not reach it.
            self.replicas.look()
        if failure.kind not in {ErrorKind.CONNECT, ErrorKind.TIMEOUT}:
            return False
        self.replicas.lost(url)
        return self.replicas.changing

    async def _choose(self, tried: set[str]) -> str:
        """The replica for the next try; waits for one where none is there. Raises CallError if none comes."""
        seconds = self.settings.ready_timeout_seconds
        await self.replicas.some(within_seconds=seconds)
        url = self.replicas.choose(tried=tried, in_flight=self._state.in_flight.at)
        if url is None:
            message = f"no pod of the server of {self.settings.alias!r} could be reached for {seconds:g} s"
            raise CallError(message, kind=ErrorKind.CONNECT, before_headers=True)
        return url

    def _learn(self, abilities: Abilities) -> None:
        if abilities == self._abilities:
            return
        self._abilities = abilities
        what = "a stream with usage (stream_options)" if abilities.stream else "a stream"
        self._state.find(self.settings.alias, f"the server of {self.settings.alias!r} refuses {what}; asked without it")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.realtime_ns() / 1e9, tz=UTC)


class Call:
    """One try: from send to end. Journalled exactly once at each."""

    def __init__(
        self,
        record: CallRecord,
        *,
        body: bytes,
        server: UpstreamServer,
        journal: Journal,
        state: MeterState,
        clock: Clock,
    ) -> None:
        self.record = record
        self.body = body
        self._server = server
        self._journal = journal
        self._state = state
        self._clock = clock
        self._response: Response | None = None
        self._content: bytes | None = None
        self._ended = False
        self._state.in_flight.begin(alias=record.alias, url=record.server_url)
        journal.append(
            Kind.CALL_BEGIN,
            call_id=record.call_id,
            alias=record.alias,
            query_id=record.query_id,
            attempt=record.attempt,
            send_ns=record.send_ns,
        )

    @property
    def status(self) -> int:
        """HTTP status of the answer; 0 before there is one."""
        return self.record.status or 0

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer."""
        return {} if self._response is None else self._response.headers

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of chunks."""
        content_type = next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")
        return self.status < 400 and content_type.partition(";")[0].strip().lower() == _EVENT_STREAM

    async def send(self, client: TimedClient, request: Request) -> None:
        """Send, and wait for the headers. Raises CallError."""
        self._response = await client.send(request)
        self.record.headers_ns = self._response.headers_ns
        self.record.status = self._response.status
        self.record.upstream_streamed = self.is_stream

    async def wish(self, request: CallerRequest, abilities: Abilities) -> Abilities | None:
        """What the server would rather be asked, if it refused what we added to the caller's request."""
        refused = 400 <= self.status < 500 and self.status != 429
        if not refused or self._ended or request.endpoint not in STREAMED_ENDPOINTS:
            return None
        return lesser_abilities(await self.content(), request=request, abilities=abilities)

    async def content(self) -> bytes:
        """The whole body of an answer that is no stream. Raises CallError if it ends early."""
        if self._content is None:
            parts = [data async for _, data in self._reads()]
            self._content = b"".join(parts)
            if self.status >= 400:
                self._content = self._server.redact(self._content)
                self.record.fail(ErrorKind.STATUS, f"HTTP {self.status}: {_text(self._content)}")
            else:
                self._note_answer(self._content)
        return self._content

    async def events(self) -> AsyncIterator[StreamedEvent]:
        """The answer's events, each as soon as it is complete. Raises CallError for streams that are cut or broken."""
        splitter = Splitter()
        done = False
        reads = self._reads()
        async for time_ns, data in reads:
            try:
                complete = splitter.feed(data)
            except ServerError as error:
                raise BrokenStreamError(error.message) from error
            for event in complete:
                streamed = self._understand(event.raw, event.data, time_ns=time_ns)
                done = done or streamed.done
                yield streamed
            if done:
                await self._drain(reads)
                return
        self._check_end(splitter.rest)

    def end(self, *, error: CallError | None = None) -> None:
        """The call is over: let go of the connection and journal it. Only the first end counts."""
        if self._response is not None:
            self._response.close()
        if self._ended:
            return
        self._ended = True
        record = self.record
        if error is not None:
            record.fail(error.kind, error.message)
        elif self.status >= 400:
            record.fail(ErrorKind.STATUS, f"HTTP {self.status}")
        record.end_ns = record.end_ns or self._clock.monotonic_ns()
        self._state.in_flight.end(alias=record.alias, url=record.server_url)
        row = record.as_row()
        self._journal.append(Kind.CALL, **row)
        self._state.on_call(record, usage_missing=row["usage_missing_reason"])

    def cancel(self) -> None:
        """Whoever asked is gone: stop the server's work at once."""
        self.end(error=CallError("whoever asked closed the connection", kind=ErrorKind.CANCELLED))

    async def _reads(self) -> AsyncIterator[tuple[int, bytes]]:
        assert self._response is not None, "a call has an answer only after it was sent"  # noqa: S101
        async for time_ns, data in self._response.reads():
            self.record.response_bytes += len(data)
            self.record.end_ns = time_ns
            yield time_ns, data

    async def _drain(self, reads: AsyncIterator[tuple[int, bytes]]) -> None:
        """Read what follows the end mark, so that the connection can be used again. The answer is complete already,
        so neither a late end nor a broken one matters."""
        ended_ns = self.record.end_ns
        with contextlib.suppress(TimeoutError, CallError):
            async with asyncio.timeout(AFTER_DONE_SECONDS):
                async for _ in reads:
                    pass
        self.record.end_ns = ended_ns

    def _understand(self, raw: bytes, data: bytes | None, *, time_ns: int) -> StreamedEvent:
        if data is None or data.strip() in _NOTHING:
            return StreamedEvent(raw, None)
        if data.strip() == DONE:
            return StreamedEvent(raw, None, done=True)
        chunk = _json_object(data)
        problem = error_of(chunk)
        if problem is not None:
            text = self._server.redact(orjson.dumps(problem))
            raise BrokenStreamError(f"the server ended its stream with an error: {_text(text)}", error=problem)
        self.record.on_chunk(chunk, time_ns=time_ns)
        return StreamedEvent(raw, chunk)

    def _check_end(self, rest: bytes) -> None:
        """A stream without its end mark is whole only if it says why it finished."""
        if rest.strip():
            raise CallError("the server ended its stream in the middle of an event", kind=ErrorKind.CLOSED)
        if self.record.finish_reason is None:
            message = "the server ended its stream before the answer was finished (no [DONE], no finish reason)"
            raise CallError(message, kind=ErrorKind.CLOSED)

    def _note_answer(self, content: bytes) -> None:
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError:
            return  # passed on as it is; without usage, which the record says
        if isinstance(answer, Mapping):
            self.record.on_answer(answer)


def _json_object(data: bytes) -> JsonObject:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BrokenStreamError(f"the server sent an event that is no JSON: {_text(data, limit=200)}") from error
    if not isinstance(chunk, dict):
        raise BrokenStreamError(f"the server sent an event that is no JSON object: {_text(data, limit=200)}")
    return chunk


def _text(data: bytes, *, limit: int = 1000) -> str:
    return data[:limit].decode(errors="replace").strip()
