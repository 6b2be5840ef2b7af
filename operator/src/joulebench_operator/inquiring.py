"""Asks what decisions want to know: servers, meters, logs, others' pods, exporters. Each inquiry has one task, whoever
asks.
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
from pydantic import ValidationError

from joulebench_api.contracts.meter import MeterStatus as MeterReport
from joulebench_operator import describing
from joulebench_operator.cache import Cache
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.inquiry import Answer, Devices, Inquiry, LastWords, MeterStatus, Pods, Served, ServedAnswer
from joulebench_operator.kinds import POD, Key
from joulebench_operator.kube import Kube

_LOG: Final = logging.getLogger(__name__)
_ASK_SECONDS: Final = 5.0
_COMPLETION_SECONDS: Final = 60.0
"""A first completion may compile kernels."""
_LINES: Final = 200
"""vLLM's engine fails in a process of its own, and others write tracebacks of dozens of lines after its words."""
_DEVICES_PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""The kubelet may tell an exporter of a pod a while after it began, and an exporter may be starting."""
_MAX_BODY: Final = 64 * 1024
_VERSION_LENGTH: Final = 256
"""What the status may hold."""
_OK: Final = 200
_SECRET: Final = re.compile(
    r"(?i)\b(hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{8,}|AKIA[0-9A-Z]{12,}|eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_.-]+)"
    r"|((?:api[_-]?key|token|secret|password|authorization)\S{0,16}?[=:]\s*(?:bearer\s+)?)([^\s'\",]+)"
)


def redacted(text: str) -> str:
    """A log's lines without what looks like a key, a token or a password."""
    return _SECRET.sub(lambda found: "***" if found[1] else f"{found[2]}***", text)


class Inquirer:
    """Keeps asking for as long as somebody wants to know.

    Args:
        changed: is told whose decision may change because an answer did.
        exporter_token: a file with a service-account token for the exporters' audience.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        kube: Kube,
        http: aiohttp.ClientSession,
        changed: Callable[[Key], None],
        exporter_token: Path | None = None,
    ) -> None:
        self._cache = cache
        self._kube = kube
        self._http = http
        self._changed = changed
        self._exporter_token = exporter_token
        self._wanted_by: dict[Key, frozenset[Inquiry]] = {}
        self._askers: dict[Inquiry, set[Key]] = {}
        self._tasks: dict[Inquiry, asyncio.Task[None]] = {}

    def want(self, key: Key, inquiries: Iterable[Inquiry]) -> None:
        """From now on this object wants to know these, and no others."""
        new, old = frozenset(inquiries), self._wanted_by.get(key, frozenset())
        for inquiry in old - new:
            self._leave(inquiry, key)
        for inquiry in new - old:
            self._join(inquiry, key)
        if new:
            self._wanted_by[key] = new
        else:
            self._wanted_by.pop(key, None)

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _join(self, inquiry: Inquiry, key: Key) -> None:
        self._askers.setdefault(inquiry, set()).add(key)
        if inquiry not in self._tasks:
            self._tasks[inquiry] = asyncio.get_running_loop().create_task(self._ask_on(inquiry))

    def _leave(self, inquiry: Inquiry, key: Key) -> None:
        askers = self._askers[inquiry]
        askers.discard(key)
        if not askers:
            del self._askers[inquiry]
            self._tasks.pop(inquiry).cancel()
            self._cache.forget(inquiry)

    async def _ask_on(self, inquiry: Inquiry) -> None:
        for asked in count(1):
            answer = await self._ask(inquiry)
            if self._cache.answered(inquiry, answer):
                for key in list(self._askers.get(inquiry, ())):
                    self._changed(key)
            pause = _pause_seconds(inquiry, answer, asked=asked)
            if pause is None:
                return
            await asyncio.sleep(pause)

    async def _ask(self, inquiry: Inquiry) -> Answer:
        match inquiry:
            case Served():
                return await self._served(inquiry)
            case MeterStatus():
                return await self._meter(inquiry)
            case LastWords():
                return await self._last_words(inquiry)
            case Pods():
                return await self._pods(inquiry)
            case Devices():
                return await describing.devices(inquiry, token_file=self._exporter_token)

    async def _served(self, asked: Served) -> ServedAnswer:
        try:
            problem = await self._why_not_served(asked)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"{asked.address} does not answer: {error or type(error).__name__}"
        if problem is not None:
            return ServedAnswer(ready=False, message=problem)
        before: ServedAnswer | None = self._cache.answer(asked)
        if before is not None and before.ready:
            return before
        return ServedAnswer(ready=True, version=await self._version(asked))

    async def _why_not_served(self, asked: Served) -> str | None:
        status, _ = await self._get(f"{asked.address}{asked.health_path}")
        if status != _OK:
            return f"{asked.health_path} answers {status}"
        if asked.model is None:
            return None
        status, body = await self._get(f"{asked.address}/v1/models")
        listed = _model_names(body)
        if status != _OK or asked.model not in listed:
            return f"/v1/models answers {status} and lists {', '.join(listed) or 'nothing'}, not {asked.model}"
        # One who was ready is not asked to complete again: that would cost energy in the middle of a run.
        before = self._cache.answer(asked)
        return None if before is not None and before.ready else await self._why_no_completion(asked)

    async def _why_no_completion(self, asked: Served) -> str | None:
        body = {"model": asked.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        timeout = aiohttp.ClientTimeout(total=_COMPLETION_SECONDS)
        async with self._http.post(f"{asked.address}/v1/chat/completions", json=body, timeout=timeout) as answer:
            if answer.status == _OK:
                return None
            text = await answer.text()
            return f"a first completion was answered with {answer.status}: {redacted(text[:256])}"

    async def _version(self, asked: Served) -> str | None:
        """The engine's release; a server that does not say it serves all the same."""
        if asked.version is None:
            return None
        try:
            status, body = await self._get(f"{asked.address}{asked.version.path}")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        return _version_in(body, asked.version.field) if status == _OK else None

    async def _get(self, url: str) -> tuple[int, Any]:
        async with self._http.get(url, timeout=aiohttp.ClientTimeout(total=_ASK_SECONDS)) as answer:
            text = (await _beginning(answer.content)).decode(errors="replace")
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, None

    async def _meter(self, asked: MeterStatus) -> MeterReport | None:
        try:
            status, body = await self._get(f"{asked.address}/status")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        try:
            return MeterReport.model_validate(body) if status == _OK else None
        except ValidationError as error:
            _LOG.warning("a meter's status cannot be read", extra={"address": asked.address, "error": str(error)})
            return None

    async def _last_words(self, asked: LastWords) -> str | None:
        key = Key(POD.name, asked.namespace, asked.pod)
        previous = self._restarts(key, asked.container) > asked.restart
        try:
            text = await self._kube.log(key, container=asked.container, previous=previous, lines=_LINES)
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError):
            return None
        return redacted(text.strip()) or None

    def _restarts(self, key: Key, container: str) -> int:
        """How often a container was started again; its log is that of the last start."""
        statuses = ((self._cache.get(key) or {}).get("status") or {}).get("containerStatuses") or ()
        return next((one["restartCount"] for one in statuses if one["name"] == container), 0)

    async def _pods(self, asked: Pods) -> list[dict[str, Any]] | None:
        selector = ",".join(f"{name}={value}" for name, value in asked.labels)
        try:
            return await self._kube.pods(asked.namespace, selector)
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("pods cannot be listed", extra={"namespace": asked.namespace, "error": str(error)})
            before: list[dict[str, Any]] | None = self._cache.answer(asked)
            return before


def _pause_seconds(inquiry: Inquiry, answer: Answer, *, asked: int) -> float | None:
    """How long until it is asked again; None: never, the answer cannot change, or nobody can tell.

    `asked`: how often it was asked already.
    """
    match inquiry:
        case Served():
            return 15.0 if answer.ready else 1.0
        case MeterStatus():
            return 2.0
        case LastWords():
            return None if answer is not None else 2.0
        case Pods():
            return 5.0
        case Devices():
            return None if answer or asked > len(_DEVICES_PAUSES_SECONDS) else _DEVICES_PAUSES_SECONDS[asked - 1]


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """As much of a body as is looked at; one `read` gives no more than has come by then."""
    found = b""
    while len(found) < _MAX_BODY and (more := await content.read(_MAX_BODY - len(found))):
        found += more
    return found


def _version_in(body: Any, field: str) -> str | None:
    """None also for a build that does not know itself: llama.cpp calls it b0-unknown."""
    text = body.get(field) if isinstance(body, Mapping) else None
    if not isinstance(text, str) or "unknown" in text:
        return None
    return text if 0 < len(text) <= _VERSION_LENGTH else None


def _model_names(body: Any) -> list[str]:
    entries = body.get("data") if isinstance(body, Mapping) else None
    return [str(one.get("id")) for one in entries or () if isinstance(one, Mapping)]
