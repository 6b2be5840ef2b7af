"""Plain calls that belong to no question: warm-up and trial calls. They go through the meter like all others."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import JsonValue

from joulebench_api.contracts.identity import MODEL_ALIAS, call_path
from joulebench_runner.config import GenerationSettings
from joulebench_runner.driver.generation import as_request, messages_for
from joulebench_runner.tasks.records import Probe, ProbeServer


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back: a completion's JSON, or why there is none."""

    body: Mapping[str, Any] | None
    error: str | None = None


class Caller:
    """Sends chat completions without a query id."""

    def __init__(self, *, proxy_url: str, options: GenerationSettings, timeout_seconds: float | None) -> None:
        self._url = f"{proxy_url}{call_path(alias=MODEL_ALIAS)}/chat/completions"
        self._options = options
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def chat(self, prompt: str, *, extra: Mapping[str, JsonValue] | None = None) -> Reply:
        """One completion. Errors are in the reply, not raised."""
        body = {
            "model": MODEL_ALIAS,
            "messages": messages_for(prompt, self._options),
            **as_request(self._options),
            **(extra or {}),
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.post(self._url, json=body) as response,
            ):
                if response.status != 200:
                    return Reply(body=None, error=f"HTTP {response.status}: {(await response.text())[:300]}")
                return Reply(body=await response.json())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Reply(body=None, error=f"{type(error).__name__}: {error}")

    async def warm_up(self, prompts: Sequence[str], *, concurrency: int) -> list[str]:
        """Ask all prompts, as many at once as the run will; the errors that came back."""
        gate = asyncio.Semaphore(concurrency)

        async def ask(prompt: str) -> str | None:
            async with gate:
                return (await self.chat(prompt)).error

        errors = await asyncio.gather(*map(ask, prompts))
        return [error for error in errors if error is not None]


class MeteredProbe(ProbeServer):
    """Trial calls for a loader, through the meter."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, prompt: str, *, extra_body: Mapping[str, JsonValue]) -> Probe:
        """Ask for one token after `prompt`."""
        reply = await self._caller.chat(prompt, extra={**extra_body, "max_tokens": 1})
        if reply.body is None:
            return Probe(prompt_tokens=None, error=reply.error)
        return Probe(prompt_tokens=(reply.body.get("usage") or {}).get("prompt_tokens"))
