"""The paths of the server, and what happens to each request on its way through the engine."""

import asyncio
import hashlib
import secrets
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from joulebench_simulator import faults as fault_rules
from joulebench_simulator import metrics, replies
from joulebench_simulator.engine import Engine, Job, Wanted
from joulebench_simulator.errors import RequestError
from joulebench_simulator.faults import Fault, FaultKind, Faults
from joulebench_simulator.generation import Generator
from joulebench_simulator.http import Exchange
from joulebench_simulator.randomness import generator as chance
from joulebench_simulator.replies import BROKEN, EVENT_STREAM, Reply
from joulebench_simulator.requests import Asked, Endpoint, parse

_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_QUESTIONS: Final = {f"/v1/{endpoint}": endpoint for endpoint in Endpoint}


class App:
    """Answers exchanges."""

    def __init__(
        self,
        *,
        engine: Engine,
        generator: Generator,
        model: str,
        max_model_len: int,
        faults: Faults,
        start_delay_seconds: float = 0.0,
        api_key: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._generator = generator
        self._model = model
        self._max_model_len = max_model_len
        self._faults = faults
        self._start_delay_seconds = start_delay_seconds
        self._api_key = api_key
        self._monotonic = monotonic
        self._started = monotonic()
        self._created = int(time.time())
        self._requests = 0

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        _answered(exchange, lambda: self._route(exchange))

    def _route(self, exchange: Exchange) -> None:
        path = exchange.path.partition("?")[0].rstrip("/")
        if self._age() < self._start_delay_seconds:
            raise RequestError("the model is loading", status=503, kind="service_unavailable")
        if path == "/health":
            exchange.respond(200, b"")
        elif path == "/version":
            exchange.respond(200, replies.version())
        elif path == "/metrics":
            page = metrics.page(self._engine.metrics, self._engine.now(), model=self._model)
            exchange.respond(200, page.encode(), headers={"Content-Type": _PROMETHEUS})
        else:
            self._api(exchange, path)

    def _api(self, exchange: Exchange, path: str) -> None:
        if self._api_key is not None and exchange.headers.get("authorization") != f"Bearer {self._api_key}":
            raise RequestError("wrong or missing API key", status=401, kind="invalid_api_key")
        if path == "/v1/models":
            exchange.respond(200, replies.models(self._model, created=self._created, max_model_len=self._max_model_len))
            return
        if path not in _QUESTIONS:
            raise RequestError(f"there is nothing at {path}", status=404, kind="not_found_error")
        if exchange.method != "POST":
            raise RequestError(f"{path} takes POST", status=405, kind="method_not_allowed")
        self._question(exchange, _QUESTIONS[path])

    def _question(self, exchange: Exchange, endpoint: Endpoint) -> None:
        self._requests += 1
        number = self._requests
        asked_fault = exchange.headers.get(fault_rules.HEADER)
        fault = self._faults.of(number=number, age_seconds=self._age(), asked=asked_fault)
        if fault is not None and fault.kind is FaultKind.HANG:
            return
        if fault is not None and fault.kind is FaultKind.STATUS:
            _fail(exchange, fault)
            return
        asked = parse(endpoint, exchange.body)
        if asked.model not in {None, self._model}:
            raise RequestError(f"the model {asked.model!r} does not exist", status=404, kind="not_found_error")
        if fault is not None and fault.kind is FaultKind.SPLIT:
            exchange.cut_by = chance(self._faults.seed, "split", number)
        task = self._embed if endpoint is Endpoint.EMBEDDINGS else self._generate
        if fault is not None and fault.kind is FaultKind.SLOW:
            _later(exchange, fault.delay_seconds, lambda: task(exchange, asked, fault, number))
        else:
            task(exchange, asked, fault, number)

    def _generate(self, exchange: Exchange, asked: Asked, fault: Fault | None, number: int) -> None:
        choices = self._generator.choices(asked)
        for choice in choices:
            if not self._engine.fits(choice.prompt.tokens + len(choice.pieces)):
                raise RequestError("the request needs more KV cache than there is")
        reply = Reply(
            asked,
            choices,
            generator=self._generator,
            answer_id=f"{'chatcmpl' if asked.endpoint is Endpoint.CHAT else 'cmpl'}-{secrets.token_hex(12)}",
            created=int(time.time()),
            model=f"not-{self._model}" if fault is not None and fault.kind is FaultKind.WRONG_MODEL else self._model,
            usage=fault is None or fault.kind is not FaultKind.NO_USAGE,
        )
        wanted = [
            Wanted(
                prompt=choice.prompt.text,
                prompt_number=at // asked.choices,
                prompt_tokens=choice.prompt.tokens,
                output_tokens=len(choice.pieces),
            )
            for at, choice in enumerate(choices)
        ]
        answering = _Answering if not asked.stream else _Streaming
        listener = answering(exchange, reply, fault=fault)
        job = _job(exchange, asked, wanted, listener, number=number, fault=fault)
        job.finish_reason = choices[0].finish_reason
        self._submit(exchange, job)

    def _embed(self, exchange: Exchange, asked: Asked, fault: Fault | None, number: int) -> None:
        for prompt in asked.prompts:
            self._generator.check_length(prompt, room=0)
            if not self._engine.fits(prompt.tokens):
                raise RequestError("the request needs more KV cache than there is")
        vectors = [self._generator.embedding(prompt) for prompt in asked.prompts]
        body = replies.embeddings(
            vectors,
            model=self._model,
            prompt_tokens=sum(prompt.tokens for prompt in asked.prompts),
            base64_wanted=asked.base64_embeddings,
        )
        wanted = [
            Wanted(prompt=prompt.text, prompt_number=at, prompt_tokens=prompt.tokens, output_tokens=0)
            for at, prompt in enumerate(asked.prompts)
        ]
        self._submit(exchange, _job(exchange, asked, wanted, _Embedding(exchange, body), number=number, fault=fault))

    def _submit(self, exchange: Exchange, job: Job) -> None:
        exchange.gone = lambda: self._engine.cancel(job)
        self._engine.submit(job)

    def _age(self) -> float:
        return self._monotonic() - self._started


class _Embedding:
    """Sends what was ready from the beginning."""

    def __init__(self, exchange: Exchange, body: bytes) -> None:
        self._exchange = exchange
        self._body = body

    def token(self, choice: int, at: int, *, last: bool) -> bool:  # noqa: ARG002 - there are none
        return True

    def finished(self, job: Job) -> None:  # noqa: ARG002 - see Listener
        self._exchange.respond(200, self._body)


class _Answering:
    """Sends an answer whole."""

    def __init__(self, exchange: Exchange, reply: Reply, *, fault: Fault | None) -> None:
        self._exchange = exchange
        self._reply = reply
        self._fault = fault

    def token(self, choice: int, at: int, *, last: bool) -> bool:  # noqa: ARG002 - it is the end that counts
        return True

    def finished(self, job: Job) -> None:
        body = self._reply.whole(cached_tokens=job.cached_tokens)
        kind = None if self._fault is None else self._fault.kind
        if kind is FaultKind.BROKEN:
            body = body[: len(body) // 2]
        if kind is FaultKind.CLOSE:
            self._exchange.begin(content_type="application/json")
            self._exchange.chunk(body[: len(body) // 2])
            self._exchange.abort()
        else:
            self._exchange.respond(200, body)


class _Streaming:
    """Sends each token as it comes."""

    def __init__(self, exchange: Exchange, reply: Reply, *, fault: Fault | None) -> None:
        self._exchange = exchange
        self._reply = reply
        self._begun = False
        kind = None if fault is None else fault.kind
        breaks = fault is not None and kind in {FaultKind.CLOSE, FaultKind.BROKEN}
        self._chunks_left = fault.chunks if fault is not None and breaks else None
        self._closes = kind is FaultKind.CLOSE

    def token(self, choice: int, at: int, *, last: bool) -> bool:
        exchange = self._exchange
        event = self._reply.token(choice, at)
        if not self._begun:
            self._begun = True
            exchange.begin(content_type=EVENT_STREAM)
            event = self._reply.opening() + event
        if self._chunks_left == 0:
            self._break_off()
            return False
        if self._chunks_left is not None:
            self._chunks_left -= 1
        exchange.chunk(event + self._reply.closing(choice) if last else event)
        return True

    def finished(self, job: Job) -> None:
        if self._chunks_left is not None:  # the answer was shorter than what should have come of it
            self._break_off()
            return
        self._exchange.chunk(self._reply.ending(cached_tokens=job.cached_tokens))
        self._exchange.end()

    def _break_off(self) -> None:
        if not self._closes:
            self._exchange.chunk(BROKEN)
        self._exchange.abort()


def _job(
    exchange: Exchange, asked: Asked, wanted: list[Wanted], listener: Any, *, number: int, fault: Fault | None
) -> Job:
    facts = {
        "number": number,
        "endpoint": str(asked.endpoint),
        "prompt_sha256": hashlib.sha256(asked.prompts[0].question.encode()).hexdigest(),
        "fault": None if fault is None else str(fault.kind),
    }
    return Job(wanted=wanted, listener=listener, request_id=exchange.headers.get("x-request-id"), facts=facts)


def _answered(exchange: Exchange, call: Callable[[], None]) -> None:
    """Whatever goes wrong is told to the client."""
    try:
        call()
    except RequestError as error:
        _refuse(exchange, error)
    except Exception:  # noqa: BLE001 - a mistake of ours must not leave the client waiting; the log has it in full
        traceback.print_exc()
        _refuse(exchange, RequestError("the simulator failed; see its log", status=500, kind="internal_error"))


def _later(exchange: Exchange, seconds: float, call: Callable[[], None]) -> None:
    """Do it then, unless the client has gone by then."""

    def due() -> None:
        _answered(exchange, call)

    exchange.gone = asyncio.get_running_loop().call_later(seconds, due).cancel


def _fail(exchange: Exchange, fault: Fault) -> None:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    kind = "rate_limit_exceeded" if fault.code == 429 else "simulated_fault"
    body = replies.error("a fault on demand", status=fault.code, kind=kind)
    exchange.respond(fault.code, body, headers=headers)


def _refuse(exchange: Exchange, error: RequestError) -> None:
    exchange.respond(error.status, replies.error(error.message, status=error.status, kind=error.kind))
