"""When a model server is ready: it says that it is healthy, it lists the model, and one short completion came back."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from joulebench_runner.config import Upstream
from joulebench_runner.errors import ServerError
from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.meter.client import CallError, ErrorKind, Request, TimedClient
from joulebench_runner.meter.credentials import NO_CREDENTIALS, Credentials
from joulebench_runner.meter.model_list import listed, nearest_first
from joulebench_runner.meter.replicas import Replicas

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 2.0
ATTEMPT_SECONDS: Final = 60.0
"""One check may take this long: the first completion of a server that compiles kernels is slow."""
FINAL_AFTER_SECONDS: Final = 10.0
"""A healthy server that lacks the model, or refuses the completion, for this long will not change its mind."""
_COMPLETION: Final = "one short completion"


class _NotReadyError(Exception):
    """A check that failed. `silent`: nobody is there; `settled`: waiting is unlikely to help; `hopeless`: it cannot."""

    def __init__(
        self, check: str, what: str, *, settled: bool = False, hopeless: bool = False, silent: bool = False
    ) -> None:
        super().__init__(f"{check}: {what}")
        self.silent = silent
        self.settled = settled
        self.hopeless = hopeless


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes

    @property
    def words(self) -> str:
        text = self.body[:300].decode(errors="replace").strip()
        return f"HTTP {self.status}" + (f": {text}" if text else "")


async def wait_ready(
    upstream: Upstream,
    *,
    client: TimedClient,
    credentials: Credentials = NO_CREDENTIALS,
    clock: Clock = SYSTEM_CLOCK,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_waiting: Callable[[str], None] = lambda _reason: None,
    urls: Sequence[str] | None = None,
) -> list[str]:
    """Wait until every replica of `upstream` is ready; notes about what could not be checked.

    `urls`: its replicas, where they are not those of its settings.

    `on_waiting` is told what is still missing, each time it was looked for.
    Raises ServerError, saying which check failed and with what, at the deadline or as soon as waiting cannot help.
    """
    checks = [
        _Replica(upstream, url=url, client=client, credentials=credentials, clock=clock, sleep=sleep).wait(on_waiting)
        for url in (upstream.base_urls if urls is None else urls)
    ]
    notes = [note for found in await asyncio.gather(*checks) for note in found]
    return list(dict.fromkeys(notes))


async def wait_found(
    upstream: Upstream,
    *,
    replicas: Replicas,
    check: Callable[[Sequence[str]], Coroutine[Any, Any, list[str]]],
    problem: Callable[[], str | None],
    on_waiting: Callable[[str], None],
) -> list[str]:
    """Wait until there are replicas and all that there are pass `check`; begins again whenever they change.

    Raises ServerError, with `problem`, if there are none for too long, and whatever `check` raises.
    """
    seconds = upstream.ready_timeout_seconds
    while True:
        on_waiting(problem() or "no pod is ready")
        if not await replicas.some(within_seconds=seconds):
            raise ServerError(
                f"model server {upstream.alias!r} has no pod that is ready after {seconds:g} s: {problem()}",
                remedy="Look at the server's pods; if they need more time, raise the time limit for it to get ready.",
            )
        checking = asyncio.create_task(check(replicas.urls))
        changing = asyncio.create_task(replicas.changed())
        tasks: list[asyncio.Task[Any]] = [checking, changing]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if checking.done():
                return checking.result()
        finally:
            checking.cancel()
            changing.cancel()
            await asyncio.wait(tasks)


class _Replica:
    def __init__(
        self,
        upstream: Upstream,
        *,
        url: str,
        client: TimedClient,
        credentials: Credentials,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._upstream = upstream
        self._url = url.rstrip("/")
        self._client = client
        self._headers = {"Content-Type": "application/json", **credentials.headers}
        self._hidden = credentials.hidden
        self._clock = clock
        self._sleep = sleep

    async def wait(self, on_waiting: Callable[[str], None]) -> list[str]:
        started_ns = self._clock.monotonic_ns()
        settled_ns: int | None = None
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._check()
            except _NotReadyError as problem:
                now_ns = self._clock.monotonic_ns()
                settled_ns = (settled_ns or now_ns) if problem.settled else None
                waited = (now_ns - started_ns) / 1e9
                settled = settled_ns is not None and now_ns - settled_ns >= FINAL_AFTER_SECONDS * 1e9
                if problem.hopeless or settled or waited + pause > self._upstream.ready_timeout_seconds:
                    raise self._failure(problem, waited) from problem
                on_waiting(str(problem))
            await self._sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    async def _check(self) -> list[str]:
        await self._check_health()
        notes = await self._check_listed()
        await self._check_completion()
        return notes

    async def _check_health(self) -> None:
        if self._upstream.health_path is None:
            return
        parts = urlsplit(self._url)
        url = f"{parts.scheme}://{parts.netloc}{self._upstream.health_path}"
        answer = await self._ask("GET", url, check="health")
        if answer.status != 200:
            raise _NotReadyError("health", f"GET {url} answered {answer.words}")

    async def _check_listed(self) -> list[str]:
        url, model = f"{self._url}/models", self._upstream.model
        answer = await self._ask("GET", url, check="list of models")
        if answer.status == 404:
            return [f"the server at {self._url} has no list of models; it was asked for {model!r} unseen"]
        if answer.status != 200:
            raise _NotReadyError("list of models", f"GET {url} answered {answer.words}")
        names = listed(answer.body)
        if not names:
            return [f"the server at {self._url} lists no models; it was asked for {model!r} unseen"]
        if model not in names:
            what = f"the server does not serve {model!r}; it lists {nearest_first(model, names)}"
            raise _NotReadyError("list of models", what, settled=True)
        return []

    async def _check_completion(self) -> None:
        model = self._upstream.model
        chat = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        first = await self._complete("chat/completions", chat)
        if first.status == 400 and b"max_completion_tokens" in first.body:
            first = await self._complete("chat/completions", _renamed(chat, "max_tokens", "max_completion_tokens"))
        if first.status == 200:
            return
        if 400 <= first.status < 500:
            # Base models have no chat template.
            plain = await self._complete("completions", {"model": model, "prompt": "Hi", "max_tokens": 1})
            if plain.status == 200:
                return
        what = f"POST {self._url}/chat/completions answered {first.words}"
        raise _NotReadyError(_COMPLETION, what, settled=400 <= first.status < 500 and first.status != 429)

    async def _complete(self, endpoint: str, payload: Mapping[str, Any]) -> _Answer:
        url = f"{self._url}/{endpoint}"
        answer = await self._ask("POST", url, check=_COMPLETION, body=orjson.dumps(payload))
        if answer.status == 200 and not _has_choices(answer.body):
            raise _NotReadyError(_COMPLETION, f"POST {url} answered without choices: {answer.words}", settled=True)
        return answer

    async def _ask(self, method: str, url: str, *, check: str, body: bytes = b"") -> _Answer:
        request = Request(url=url, method=method, headers=self._headers, body=body)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                response = await self._client.send(request)
                try:
                    content = b"".join([data async for _, data in response.reads()])
                finally:
                    response.close()
        except CallError as error:
            silent = error.kind in {ErrorKind.CONNECT, ErrorKind.TIMEOUT}
            raise _NotReadyError(check, error.message, silent=silent) from error
        except TimeoutError as error:
            raise _NotReadyError(check, f"{method} {url} did not answer within {ATTEMPT_SECONDS:g} s") from error
        answer = _Answer(response.status, self._hidden(content))
        if answer.status in {401, 403}:
            raise _NotReadyError(check, f"{method} {url} refuses our key: {answer.words}", hopeless=True)
        return answer

    def _failure(self, problem: _NotReadyError, waited_seconds: float) -> ServerError:
        upstream = self._upstream
        remedy = "Check its address, and that it runs." if problem.silent else "Look into the server's log."
        if problem.hopeless:
            variable = upstream.key_variable
            remedy = f"Check the key in {variable}." if variable else "Name the variable that holds the server's key."
        elif problem.settled:
            remedy = "Names are compared letter by letter; use one that the server lists, or serve the model."
        elif waited_seconds + LONGEST_PAUSE_SECONDS > upstream.ready_timeout_seconds:
            remedy += " If it needs more time, raise the time limit for the server to get ready."
        message = f"model server {upstream.alias!r} at {self._url} is not ready after {waited_seconds:.0f} s: {problem}"
        return ServerError(message, remedy=remedy)


def _has_choices(body: bytes) -> bool:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(answer, dict) and bool(answer.get("choices"))


def _renamed(payload: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {(new if key == old else key): value for key, value in payload.items()}
