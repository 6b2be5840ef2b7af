"""Whole runs through the command: real processes, and a small scripted model server where the model does not matter."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

RUN_SECONDS = 300
COMMAND = Path(sys.executable).parent / "joulebench"

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Finished:
    """A run that has ended."""

    exit_code: int
    out: str
    err: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found


@dataclass
class ScriptedServer:
    """An OpenAI-shaped server in a thread of this process; `answer` decides what each chat request gets."""

    answer: Handler
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def questions(self) -> list[str]:
        """The user texts of all questions so far, without the readiness probe."""
        return [body["messages"][-1]["content"] for body in self.requests if body.get("stream")]


async def stream_text(request: web.Request, text: str, *, usage: bool = True) -> web.StreamResponse:
    """A well-formed streamed answer, a word a chunk."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    words = text.split(" ")
    for index, word in enumerate(words):
        delta = {"content": word if index == 0 else f" {word}"}
        await _send(response, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    await _send(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        counts = {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}
        await _send(response, {"choices": [], "usage": counts})
    await response.write(b"data: [DONE]\n\n")
    return response


async def _send(response: web.StreamResponse, chunk: dict[str, Any]) -> None:
    full = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", **chunk}
    await response.write(b"data: " + json.dumps(full).encode() + b"\n\n")


def application(server: ScriptedServer) -> web.Application:
    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        server.requests.append(body)
        if not body.get("stream"):
            # The readiness probe; questions are always streamed.
            message = {"role": "assistant", "content": "ok"}
            return web.json_response({"choices": [{"index": 0, "message": message, "finish_reason": "length"}]})
        return await server.answer(request, body)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    return app


@pytest.fixture
def answer_with() -> Callable[[str], Handler]:
    """A handler that always gives the same well-formed answer."""

    def handler(text: str) -> Handler:
        async def answer(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            return await stream_text(request, text)

        return answer

    return handler


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], ScriptedServer]]:
    """Start scripted servers; all are gone at the end of the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners: list[web.AppRunner] = []

    async def start(server: ScriptedServer) -> None:
        runner = web.AppRunner(application(server), shutdown_timeout=0.1, handler_cancellation=True)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

    def started(answer: Handler) -> ScriptedServer:
        server = ScriptedServer(answer)
        asyncio.run_coroutine_threadsafe(start(server), loop).result(10)
        return server

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    yield started
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def benchmark(tmp_path: Path) -> Callable[..., Path]:
    """Write a small benchmark file; `spec` is merged into it."""

    def write(server: dict[str, Any], **spec: Any) -> Path:
        document = {
            "apiVersion": "joulebench.dev/v1alpha1",
            "kind": "BenchmarkRun",
            "metadata": {"name": "e2e"},
            "spec": {
                "server": server,
                "task": {"name": "everyday", "limit": 3},
                "warmup": {"queries": 0},
                "energy": {"idleBaseline": "0s"},
                **spec,
            },
        }
        path = tmp_path / "bench.yaml"
        path.write_text(json.dumps(document))  # JSON is YAML
        return path

    return write


def command(*words: str | Path) -> list[str]:
    return [str(COMMAND), *map(str, words)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", **more}


@pytest.fixture(name="command")
def command_fixture() -> Callable[..., list[str]]:
    """The command line of `joulebench` with these words."""
    return command


@pytest.fixture
def joulebench(tmp_path: Path) -> Callable[..., Finished]:
    """Call `joulebench run FILE` and wait for its end."""

    def call(file: Path, *words: str | Path, **env: str) -> Finished:
        folder = tmp_path / "out"
        done = subprocess.run(
            command("run", file, "--out", folder, "--sensor", "modelled", *words),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
            env=environment(**env),
        )
        return Finished(done.returncode, done.stdout, done.stderr, folder)

    return call


@dataclass
class Going:
    """A run that goes on while the test does something to it."""

    process: "subprocess.Popen[str]"
    folder: Path

    def pids(self) -> dict[str, int]:
        """The run's processes by name; empty as long as they are not written down."""
        path = self.folder / "settings" / "processes.json"
        try:
            found: dict[str, int] = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        return found

    def until(self, condition: Callable[[], Any], *, seconds: float = RUN_SECONDS) -> None:
        """Wait for something to come about while the run goes on."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.end().err
            assert time.monotonic() < deadline, "it did not come to that in time"
            time.sleep(0.02)

    def kill(self, name: str) -> int:
        """SIGKILL one of its processes."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def end(self) -> Finished:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=RUN_SECONDS)
        return Finished(self.process.returncode, out, err, self.folder)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Going]]:
    """Call `joulebench run FILE` and go on while it runs; what is left at the end of the test is killed."""
    started: list[Going] = []

    def call(file: Path, *words: str | Path, folder: Path = tmp_path / "out") -> Going:
        process = subprocess.Popen(
            command("run", file, "--out", folder, "--sensor", "modelled", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(Going(process, folder))
        return started[-1]

    yield call
    for going in started:
        if going.process.poll() is None:
            going.process.kill()
        going.process.communicate()
