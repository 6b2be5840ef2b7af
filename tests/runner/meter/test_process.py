"""The meter as a process: from its settings file to its exit code."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from joulebench_api.contracts.energy import Method
from joulebench_api.contracts.meter import Begin, DriverDone, Finalise, Finish, Plan, ResolvedTask, Stage, StageEvent
from joulebench_api.contracts.summary import Energy, ModelUse, Summary, Tokens
from joulebench_runner.config import EnergySettings, MeterSettings, StoreSettings, Upstream
from joulebench_runner.errors import ExitCode, RunnerError
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.meter.control_client import ControlClient
from joulebench_runner.verdict import verdict

Serve = Callable[..., Awaitable[Any]]
DEADLINE_SECONDS = 30
CHAT = {"model": "model", "messages": [{"role": "user", "content": "2+2?"}]}


@dataclass
class Running:
    """A meter's process, its settings and a client."""

    process: asyncio.subprocess.Process
    settings: MeterSettings
    control: ControlClient
    urls: dict[str, str]

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), DEADLINE_SECONDS)

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    def rows(self, kind: Kind) -> list[dict[str, Any]]:
        contents = read(self.settings.run_dir / "journal")
        assert contents.problems == []
        rows: list[dict[str, Any]] = contents.table(kind).to_pylist()
        return rows


@pytest.fixture
def start(tmp_path: Path, stack: AsyncExitStack) -> Callable[..., Awaitable[Running]]:
    async def run(server_url: str, *arguments: str, ready: bool = True, **options: Any) -> Running:
        upstream = Upstream(alias="model", role="model", model="served", base_urls=[f"{server_url}/v1"])
        fields: dict[str, Any] = {
            "run_id": "run-1",
            "run_name": "test",
            "run_dir": tmp_path / "run",
            "control_socket": tmp_path / "c.sock",
            "ready_file": tmp_path / "ready.json",
            "upstreams": [upstream],
            "energy": EnergySettings(policy="Disabled"),
        }
        settings = MeterSettings.model_validate(fields | options)
        path = write_settings(settings, tmp_path)
        command = [sys.executable, "-m", "joulebench_runner.meter", "--settings", str(path), *arguments]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stderr=pipe)
        stack.push_async_callback(end, process)
        control = ControlClient(settings.control_socket)
        stack.push_async_callback(control.close)
        urls = await ready_file(settings.ready_file, process) if ready else {}
        return Running(process, settings, control, urls)

    return run


def write_settings(settings: MeterSettings, folder: Path) -> Path:
    settings.run_dir.mkdir(exist_ok=True)
    path = folder / "meter.json"
    path.unlink(missing_ok=True)
    settings.write(path)
    return path


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def ready_file(path: Path, process: asyncio.subprocess.Process) -> dict[str, str]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (urls := urls_in(path)) is None:
            assert process.returncode is None, "the meter ended while it started"
            await asyncio.sleep(0.01)
    return urls


def urls_in(path: Path) -> dict[str, str] | None:
    if not path.exists():
        return None
    urls: dict[str, str] = json.loads(path.read_text())
    return urls


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def server(serve: Serve, say: Any) -> Any:
    listed = say.json({"data": [{"id": "served"}]})
    ready = say.json({"choices": [{"message": {"content": "H"}}]})
    return await serve(listed, ready, say.stream(*say.answer))


async def ask_one(meter: Running, session: aiohttp.ClientSession) -> None:
    task = ResolvedTask(name="everyday", revision="r", records=1, sha256="0")
    await meter.control.ready()
    assert (await meter.control.plan(Plan(task=task, query_ids=["00ff"]))).finished == []
    await meter.control.stage(StageEvent(stage=Stage.RUN, event="start"))
    messages: list[Any] = CHAT["messages"]  # type: ignore[assignment]  # a dict of several types
    await meter.control.begin(Begin(query_id="00ff", task="everyday", record_id="r1", messages=messages))
    async with session.post(f"{meter.urls['proxy_url']}/m/model/q/00ff.0/v1/chat/completions", json=CHAT) as response:
        answer = (await response.json())["choices"][0]["message"]["content"]
    await meter.control.finish(Finish(query_id="00ff", response=answer, score=1, correct=True, scorer="exact"))
    await meter.control.stage(StageEvent(stage=Stage.RUN, event="end"))


async def test_a_run_from_start_to_results(start: Serve, server: Any, session: aiohttp.ClientSession) -> None:
    meter = await start(server.url)
    await ask_one(meter, session)
    async with session.get(f"{meter.urls['status_url']}/status") as response:
        assert (await response.json())["progress"]["correct"] == 1
    await meter.control.driver_done(DriverDone(outcome="completed"))
    assert await meter.exit_code() == ExitCode.DONE, await meter.errors()
    summary = Summary.model_validate_json((meter.settings.run_dir / "summary.json").read_bytes())
    assert (summary.state, summary.counts.correct, summary.counts.asked) == ("completed", 1, 1)
    assert [(row["stage"], row["event"]) for row in meter.rows(Kind.STAGE)] == [
        ("startup", "start"),
        ("run", "start"),
        ("run", "end"),
        ("export", "start"),
    ]
    assert not meter.settings.control_socket.exists()


async def test_a_run_is_copied_to_its_store_and_says_so(
    start: Serve, server: Any, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    meter = await start(server.url, store=StoreSettings(url=f"file://{kept}"))
    await ask_one(meter, session)
    async with session.get(f"{meter.urls['status_url']}/status") as response:
        assert (await response.json())["store"] == {"url": f"file://{kept}", "behind": 0, "last_error": None}
    await meter.control.driver_done(DriverDone(outcome="completed"))
    assert await meter.exit_code() == ExitCode.DONE, await meter.errors()
    assert (kept / "summary.json").read_bytes() == (meter.settings.run_dir / "summary.json").read_bytes()
    assert read(kept / "journal").table(Kind.QUERY_FINISH).num_rows == 1


async def test_a_copy_that_fails_is_told_and_costs_no_result(
    start: Serve, server: Any, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("no folder")
    meter = await start(server.url, store=StoreSettings(url=f"file://{tmp_path}/kept"))
    await ask_one(meter, session)
    await meter.control.driver_done(DriverDone(outcome="completed"))
    assert await meter.exit_code() == ExitCode.REQUIREMENT_NOT_MET
    assert "cannot write" in await meter.errors()
    summary = Summary.model_validate_json((meter.settings.run_dir / "summary.json").read_bytes())
    assert (summary.state, summary.counts.correct) == ("completed", 1)
    assert summary.stored is not None
    assert "cannot write" in (summary.stored.problem or "")


async def test_a_meter_that_fails_leaves_its_last_words_elsewhere(start: Serve, server: Any, tmp_path: Path) -> None:
    words = tmp_path / "words.json"
    upstream = Upstream(alias="m", role="model", model="x", base_urls=[server.url], key_variable="NO_SUCH_KEY")
    meter = await start(server.url, ready=False, upstreams=[upstream], outcome_file=words)
    await meter.exit_code()
    assert "NO_SUCH_KEY is not set" in (DriverDone.model_validate_json(words.read_bytes()).message or "")


async def test_a_supervisor_that_finalises_is_waited_for(
    start: Serve, server: Any, session: aiohttp.ClientSession
) -> None:
    meter = await start(server.url, finalise_on="request")
    await ask_one(meter, session)
    await meter.control.driver_done(DriverDone(outcome="completed"))
    assert (await meter.control.status()).stage is Stage.RUN
    await meter.control.finalise(Finalise(outcome="error-limit", message="too many errors"))
    assert await meter.exit_code() == ExitCode.REQUIREMENT_NOT_MET
    summary = Summary.model_validate_json((meter.settings.run_dir / "summary.json").read_bytes())
    assert (summary.state, summary.message) == ("error-limit", "too many errors")


async def test_sigterm_keeps_what_there_is(start: Serve, server: Any, session: aiohttp.ClientSession) -> None:
    meter = await start(server.url)
    await ask_one(meter, session)
    await meter.control.stage(StageEvent(stage=Stage.RUN, event="start"))
    meter.process.send_signal(signal.SIGTERM)
    assert await meter.exit_code() == ExitCode.INTERRUPTED
    assert [row["query_id"] for row in meter.rows(Kind.QUERY_FINISH)] == ["00ff"]
    assert [(row["stage"], row["event"]) for row in meter.rows(Kind.STAGE)][-2:] == [
        ("run", "end"),
        ("export", "start"),
    ]


async def test_what_was_acknowledged_survives_sigkill(
    start: Serve, server: Any, session: aiohttp.ClientSession
) -> None:
    meter = await start(server.url)
    await ask_one(meter, session)
    meter.process.kill()
    await meter.exit_code()
    meter.settings.ready_file.unlink()
    again = await start(server.url)
    task = ResolvedTask(name="everyday", revision="r", records=1, sha256="0")
    assert (await again.control.plan(Plan(task=task, query_ids=["00ff", "0aa0"]))).finished == ["00ff"]
    (row,) = again.rows(Kind.CALL)
    assert (row["query_id"], row["output_tokens"]) == ("00ff", 2)


async def test_the_meter_ends_with_its_standard_input(start: Serve, server: Any) -> None:
    meter = await start(server.url, "--exit-with-stdin")
    assert meter.process.stdin is not None
    meter.process.stdin.close()
    assert await meter.exit_code() == ExitCode.INFRASTRUCTURE


async def test_a_server_that_is_not_ready_is_told_to_who_asks(start: Serve, serve: Serve, say: Any) -> None:
    server = await serve(say.json({"error": "bad key"}, status=401))
    meter = await start(server.url)
    with pytest.raises(RunnerError, match=r"model server 'model' .* is not ready .* refuses our key"):
        await meter.control.ready()
    assert (await meter.control.status()).servers[0].state == "failed"


async def test_a_port_in_use_is_told(start: Serve, server: Any) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    meter = await start(server.url, ready=False, proxy_port=port)
    assert await meter.exit_code() == ExitCode.FAILED
    errors = await meter.errors()
    assert f"the meter's proxy cannot listen on 127.0.0.1:{port}" in errors
    assert "Traceback" not in errors


async def test_a_missing_key_is_told(start: Serve, server: Any) -> None:
    upstream = Upstream(alias="m", role="model", model="x", base_urls=[server.url], key_variable="NO_SUCH_KEY")
    meter = await start(server.url, ready=False, upstreams=[upstream])
    assert await meter.exit_code() == ExitCode.BAD_INPUT
    assert "NO_SUCH_KEY is not set" in await meter.errors()


async def test_settings_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"run_id": 3}')
    command = [sys.executable, "-m", "joulebench_runner.meter", "--settings", str(tmp_path / "bad.json")]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, errors = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
    assert process.returncode == ExitCode.BAD_INPUT
    assert b"run_id" in errors


def summary_with(**energy: Any) -> Summary:
    """Only `energy`, `models` and `stored` matter to a verdict."""
    fields: dict[str, Any] = {"stored": None, "energy": Energy.model_construct(method=Method.PHASE, **energy)}
    return Summary.model_construct(**fields)


@pytest.mark.parametrize(
    ("policy", "joules", "coverage", "code"),
    [
        ("Required", 10.0, 99.5, ExitCode.DONE),
        ("Required", 10.0, 98.0, ExitCode.REQUIREMENT_NOT_MET),
        ("Required", 10.0, None, ExitCode.REQUIREMENT_NOT_MET),
        ("Required", None, None, ExitCode.REQUIREMENT_NOT_MET),
        ("Preferred", None, None, ExitCode.DONE),
        ("Disabled", None, None, ExitCode.DONE),
    ],
)
def test_a_completed_run_needs_the_energy_that_was_required(
    policy: Any, joules: float | None, coverage: float | None, code: ExitCode
) -> None:
    energy = EnergySettings(policy=policy)
    summary = summary_with(total_joules=joules, coverage_percent=coverage)
    assert verdict("completed", energy=energy, summary=summary) is code


@pytest.mark.parametrize(
    ("role", "calls", "joules", "code"),
    [
        ("submodel", 2, None, ExitCode.REQUIREMENT_NOT_MET),
        ("submodel", 2, 1.0, ExitCode.DONE),
        ("submodel", 0, None, ExitCode.DONE),
        ("judge", 2, None, ExitCode.DONE),
    ],
)
def test_required_energy_is_not_whole_without_that_of_a_submodel_that_was_asked(
    role: Any, calls: int, joules: float | None, code: ExitCode
) -> None:
    tokens = Tokens(prompt=None, cached_prompt=None, output=None, calls_without_usage=0)
    use = ModelUse(alias="helper", role=role, name="small", calls=calls, tokens=tokens, energy_joules=joules)
    summary = summary_with(total_joules=10.0, coverage_percent=100.0).model_copy(update={"models": [use]})
    assert verdict("completed", energy=EnergySettings(policy="Required"), summary=summary) is code


@pytest.mark.parametrize(
    ("outcome", "code"), [("failed", 1), ("error-limit", 3), ("interrupted", 130), ("completed", 0)]
)
def test_every_outcome_has_its_exit_code(outcome: Any, code: int) -> None:
    summary = summary_with(total_joules=None, coverage_percent=None)
    assert verdict(outcome, energy=EnergySettings(), summary=summary) == code
