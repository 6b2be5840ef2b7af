"""A scripted meter (control socket and OpenAI-shaped server) and the driver as a real process beside it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from joulebench_api.contracts.meter import PlanReply
from joulebench_runner.config import DriverSettings, TaskSettings

PACKAGES = Path(__file__).parent / "packages"
DEADLINE_SECONDS = 60.0
MEDDLING = {"INSPECT_EVAL_MODEL_ARGS": "a=1", "INSPECT_TELEMETRY": "a.b", "HTTP_PROXY": "http://127.0.0.1:9"}
"""A user's environment that must not change what a benchmark does."""

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def completion(text: str, *, prompt_tokens: int = 7) -> web.Response:
    """A chat completion as an OpenAI-compatible server sends it."""
    return web.json_response(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "served",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 2, "total_tokens": prompt_tokens + 2},
        }
    )


def says(text: str) -> Answer:
    """A server that always says the same."""

    async def answer(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        return completion(text)

    return answer


@dataclass
class Event:
    """Something that reached the meter, in order."""

    kind: str
    body: dict[str, Any]
    path: str = ""


@dataclass
class FakeMeter:
    """What the driver sees of a meter."""

    answer: Answer = field(default_factory=lambda: says("4"))
    events: list[Event] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    """Query ids that the reply to the plan calls finished."""
    attempts: dict[str, int] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=lambda: ["model"])
    not_ready: str | None = None
    refuses: str | None = None
    """A kind of message that is answered with an error."""
    dies_in: str | None = None
    """The stage in which it stops answering."""
    dead: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, kind: str, body: dict[str, Any], path: str = "") -> None:
        """Remember an event."""
        self.events.append(Event(kind, body, path))
        self.changed.set()

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one kind."""
        return [event.body for event in self.events if event.kind == kind]

    def paths(self) -> list[str]:
        """The paths of the model calls."""
        return [event.path for event in self.events if event.kind == "call"]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for events until something holds."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _message(self, request: web.Request) -> web.Response:
        kind = request.path.removeprefix("/v1/")
        if kind == self.refuses:
            return web.json_response({"message": f"{kind} refused"}, status=400)
        body = json.loads(await request.read())
        self.note(kind, body)
        self.dead |= kind == "stage" and body["stage"] == self.dies_in
        if kind == "plan":
            reply = PlanReply(finished=self.finished, attempts=self.attempts)
            return web.json_response(reply.model_dump(mode="json"))
        return web.json_response({})

    async def _status(self, request: web.Request) -> web.Response:
        if self.dead:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(
            {
                "run_id": "r",
                "stage": "startup",
                "stage_started_seconds_ago": 0.0,
                "servers": [{"alias": alias, "state": "ready"} for alias in self.aliases],
                "progress": {"errors": 0},
                "energy": {},
            }
        )

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.not_ready is not None:
            return web.json_response({"message": self.not_ready, "remedy": "look at its log"}, status=503)
        return web.json_response({})

    async def _call(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.note("call", body, request.path)
        return await self.answer(request, body)

    def control(self) -> web.Application:
        """The routes of the control socket."""
        app = web.Application()
        app.add_routes([
            web.post("/v1/{kind}", self._message),
            web.get("/v1/status", self._status),
            web.get("/v1/ready", self._ready),
        ])  # fmt: skip
        return app

    def proxy(self) -> web.Application:
        """The model server's face."""
        app = web.Application()
        app.add_routes([web.post("/m/{tail:.*}", self._call)])
        return app


@dataclass
class Ended:
    """How the driver's process ended."""

    code: int
    log: str


class DriverProcess:
    """The driver, started with settings against the scripted meter."""

    def __init__(self, meter: FakeMeter, folder: Path, proxy_url: str) -> None:
        self.meter = meter
        self.folder = folder
        self._proxy_url = proxy_url
        self._process: asyncio.subprocess.Process | None = None

    def settings(self, task: TaskSettings, **changes: Any) -> DriverSettings:
        """Settings with quick stages."""
        quick: dict[str, Any] = {"baseline_seconds": 0.0, "warmup_queries": 0, "concurrency": 1}
        return DriverSettings(
            run_id="r",
            run_dir=self.folder,
            control_socket=self.folder / "control.sock",
            ready_file=self.folder / "ready.json",
            outcome_file=self.folder / "outcome.json",
            task=task,
            **(quick | changes),
        )

    def write_ready_file(self) -> None:
        """Let the meter be ready."""
        (self.folder / "ready.json").write_text(json.dumps({"proxy_url": self._proxy_url, "status_url": ""}))

    async def start(self, settings: DriverSettings, *, options: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
        """Start the process; the meter is ready already."""
        self.write_ready_file()
        path = self.folder / "driver.json"
        settings.write(path)
        with (self.folder / "driver.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "joulebench_runner.driver", "--settings", str(path), *options,
                stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                env=os.environ | {"PYTHONPATH": str(PACKAGES)} | MEDDLING,
            )  # fmt: skip
        return self._process

    async def end(self) -> Ended:
        """Wait for its end."""
        assert self._process is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            code = await self._process.wait()
        return Ended(code, (self.folder / "driver.log").read_text())

    async def run(self, task: TaskSettings, **changes: Any) -> Ended:
        """Start it and wait for its end."""
        await self.start(self.settings(task, **changes))
        return await self.end()

    def terminate(self) -> None:
        """Send SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest.fixture
def meter() -> FakeMeter:
    return FakeMeter()


@pytest.fixture
async def driver(meter: FakeMeter, tmp_path: Path) -> AsyncIterator[DriverProcess]:
    # Hanging handlers are part of the tests; they are not waited for.
    control, proxy = (web.AppRunner(app, shutdown_timeout=0.1) for app in (meter.control(), meter.proxy()))
    await control.setup()
    await proxy.setup()
    await web.UnixSite(control, str(tmp_path / "control.sock")).start()
    await web.TCPSite(proxy, "127.0.0.1", 0).start()
    process = DriverProcess(meter, tmp_path, f"http://127.0.0.1:{proxy.addresses[0][1]}")
    try:
        yield process
    finally:
        await process.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await proxy.cleanup()
            await control.cleanup()


@pytest.fixture(name="says")
def says_fixture() -> Callable[[str], Answer]:
    return says


@pytest.fixture(name="completion")
def completion_fixture() -> Callable[..., web.Response]:
    return completion
