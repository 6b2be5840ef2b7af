"""The driver's and the supervisor's side of the control socket."""

import json
from pathlib import Path
from typing import Any, Final

import aiohttp

from joulebench_api.contracts.meter import (
    Action,
    Begin,
    Dismissal,
    DriverDone,
    Finalise,
    Finish,
    Message,
    MeterStatus,
    Notice,
    Plan,
    PlanReply,
    StageEvent,
)
from joulebench_runner.errors import BadInputError, RunnerError

_BASE: Final = "http://meter/v1"


class MeterGoneError(RunnerError):
    """Nobody answers on the control socket."""


class ControlClient:
    """Talks to one meter. Every method raises RunnerError with the meter's words when the meter refuses, and
    MeterGoneError when there is no meter (yet, or any more)."""

    def __init__(self, socket: Path) -> None:
        """Connects when first used, so the meter need not be there yet."""
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def plan(self, plan: Plan) -> PlanReply:
        """Say what will be asked; hear what of it is done."""
        return PlanReply.model_validate(await self._post("plan", plan))

    async def stage(self, event: StageEvent) -> None:
        """Enter or leave a stage."""
        await self._post("stage", event)

    async def begin(self, begin: Begin) -> None:
        """A question is about to be asked."""
        await self._post("begin", begin)

    async def action(self, action: Action) -> None:
        """A tool call or another step of an agent has ended."""
        await self._post("action", action)

    async def finish(self, finish: Finish) -> None:
        """A question has its answer. Returns once that is on disk."""
        await self._post("finish", finish)

    async def driver_done(self, done: DriverDone) -> None:
        """The driver ends by itself."""
        await self._post("driver-done", done)

    async def note(self, notice: Notice) -> None:
        """Have something written down for whoever reads the results."""
        await self._post("note", notice)

    async def finalise(self, finalise: Finalise) -> None:
        """Nothing more comes: attribute, export, end. Returns at once."""
        await self._post("finalise", finalise)

    async def status(self) -> MeterStatus:
        """How things stand."""
        return MeterStatus.model_validate(await self._request("GET", "status"))

    async def ready(self) -> None:
        """Wait until the model servers are ready. Raises RunnerError, with the remedy, when they will not be."""
        await self._request("GET", "ready")

    async def attend(self) -> str:
        """Be there, as the driver, until this is cancelled. Returns, with the reason, when the driver is to end."""
        return Dismissal.model_validate(await self._request("GET", "attend")).reason

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, path: str, message: Message) -> Any:
        return await self._request("POST", path, body=message.model_dump_json())

    async def _request(self, method: str, path: str, *, body: str | None = None) -> Any:
        try:
            async with self._open().request(method, f"{_BASE}/{path}", data=body) as response:
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, OSError) as error:
            raise MeterGoneError(f"the meter does not answer on {self._socket}: {error}") from error
        if status == 200:
            return json.loads(text)
        raise _refusal(f"{method} /v1/{path}", status, text)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # A connection of its own for each message: `ready` waits for minutes, and questions must not queue behind.
            connector = aiohttp.UnixConnector(path=str(self._socket), limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        return self._session


def _refusal(request: str, status: int, text: str) -> RunnerError:
    # What contradicts the journal is wrong input; all else may be mended and tried again.
    kind = BadInputError if status == 409 else RunnerError
    try:
        answer = json.loads(text)
        return kind(answer["message"], remedy=answer.get("remedy"))
    except (ValueError, KeyError, TypeError):
        return RunnerError(f"the meter answered {request} with HTTP {status}: {text[:500]}")
