"""The control socket: what is answered, what is journalled before it is answered, and what is refused."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from joulebench_api.contracts.meter import (
    Action,
    Begin,
    DriverDone,
    EnergyState,
    Finalise,
    Finish,
    Notice,
    Plan,
    ResolvedTask,
    Stage,
    StageEvent,
)
from joulebench_runner.errors import BadInputError, RunnerError, ServerError
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.control import Control
from joulebench_runner.meter.control_client import ControlClient, MeterGoneError
from joulebench_runner.meter.http import serve_unix
from joulebench_runner.meter.prior import prior_of
from joulebench_runner.meter.state import MeterState

TASK = ResolvedTask(name="everyday", revision="r", records=2, sha256="0")
PLAN = Plan(task=TASK, query_ids=["q1", "q2"])


def begin(query_id: str, *, attempt: int = 0) -> Begin:
    messages: list[Any] = [{"role": "user", "content": "2+2?"}]
    return Begin(query_id=query_id, attempt=attempt, task="everyday", record_id="r", messages=messages)


class Recorder:
    """A run that only notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_stage(self, event: StageEvent) -> None:
        self.told.append(event)

    def driver_done(self, done: DriverDone) -> None:
        self.told.append(done)

    def finalise(self, finalise: Finalise) -> None:
        self.told.append(finalise)

    async def attend(self) -> str:
        return "enough"


class Bench:
    """A control socket, its client and what stands behind them."""

    def __init__(self, folder: Path, *, fsync: Callable[[int], None] = os.fsync) -> None:
        self.folder = folder / "journal"
        prior = prior_of(read(self.folder))
        self.journal = Journal(self.folder, run_id="r", run_name="r", instance_id="m", fsync=fsync)
        self.state = MeterState(run_id="r", aliases=["model"], prior=prior)
        self.run = Recorder()
        self.ready_error: RunnerError | None = None
        self.ready = asyncio.Event()
        self.socket = folder / "control.sock"
        self.client = ControlClient(self.socket)

    async def open(self, stack: AsyncExitStack) -> "Bench":
        control = Control(
            journal=self.journal,
            state=self.state,
            run=self.run,
            ready=self.wait_ready,
            status=lambda: self.state.status(EnergyState()),
        )
        runner = await serve_unix(control.application(), path=self.socket)
        stack.push_async_callback(self.journal.close)
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(self.client.close)
        return self

    async def wait_ready(self) -> None:
        await self.ready.wait()
        if self.ready_error is not None:
            raise self.ready_error

    async def rows(self, kind: Kind) -> list[dict[str, Any]]:
        await self.journal.commit()
        rows: list[dict[str, Any]] = read(self.folder).table(kind).to_pylist()
        return rows


@pytest.fixture
async def bench(tmp_path: Path, stack: AsyncExitStack) -> Bench:
    return await Bench(tmp_path).open(stack)


async def test_a_new_run_has_nothing_finished(bench: Bench) -> None:
    reply = await bench.client.plan(PLAN)
    assert (reply.finished, reply.attempts) == ([], {})
    (row,) = await bench.rows(Kind.PLAN)
    assert row["query_ids"] == ["q1", "q2"]
    assert ResolvedTask.model_validate_json(row["json"].removeprefix('{"task":')[:-1]) == TASK


async def test_a_question_goes_through_begin_action_and_finish(bench: Bench) -> None:
    await bench.client.plan(PLAN)
    await bench.client.begin(begin("q1"))
    await bench.client.action(Action(action_id="a", query_id="q1", name="calculator", start_ns=1, end_ns=2))
    await bench.client.finish(Finish(query_id="q1", response="4", score=1, correct=True, scorer="exact"))
    progress = (await bench.client.status()).progress
    assert (progress.total, progress.asked, progress.answered, progress.correct) == (2, 1, 1, 1)
    (begun,), (acted,), (finished,) = [
        await bench.rows(kind) for kind in (Kind.QUERY_BEGIN, Kind.ACTION, Kind.QUERY_FINISH)
    ]
    assert (begun["query_id"], begun["messages"]) == ("q1", '[{"role":"user","content":"2+2?"}]')
    assert (acted["name"], acted["start_ns"], acted["end_ns"]) == ("calculator", 1, 2)
    assert (finished["response"], finished["score"], finished["correct"]) == ("4", 1.0, True)


async def test_finish_is_answered_only_after_it_is_on_disk(tmp_path: Path, stack: AsyncExitStack) -> None:
    disk = threading.Event()

    def slow_fsync(_descriptor: int) -> None:
        disk.wait(10)

    bench = await Bench(tmp_path, fsync=slow_fsync).open(stack)
    finishing = asyncio.create_task(bench.client.finish(Finish(query_id="q1", response="4", correct=True)))
    await bench.client.status()  # the meter answers others meanwhile
    assert not finishing.done()
    disk.set()
    await finishing


async def test_a_finish_that_cannot_be_written_is_not_acknowledged(tmp_path: Path, stack: AsyncExitStack) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    bench = Bench(tmp_path, fsync=broken)
    control = Control(
        journal=bench.journal,
        state=bench.state,
        run=bench.run,
        ready=bench.wait_ready,
        status=lambda: bench.state.status(EnergyState()),
    )
    runner = await serve_unix(control.application(), path=bench.socket)
    stack.push_async_callback(runner.cleanup)
    stack.push_async_callback(bench.client.close)
    with pytest.raises(RunnerError, match="No space left") as caught:
        await bench.client.finish(Finish(query_id="q1", response="4"))
    assert "Free space" in (caught.value.remedy or "")
    with pytest.raises(RunnerError, match="No space left"):
        await bench.journal.close()


async def test_the_first_finish_stands(bench: Bench) -> None:
    await bench.client.finish(Finish(query_id="q1", response="4", correct=True))
    await bench.client.finish(Finish(query_id="q1", response="5", correct=False))
    assert [row["response"] for row in await bench.rows(Kind.QUERY_FINISH)] == ["4"]
    assert (await bench.client.status()).progress.correct == 1


async def test_a_meter_that_starts_again_knows_what_is_finished(tmp_path: Path) -> None:
    async with AsyncExitStack() as first:
        bench = await Bench(tmp_path).open(first)
        await bench.client.begin(begin("q1"))
        await bench.client.finish(Finish(query_id="q1", response="4", correct=False))
        await bench.client.begin(begin("q2", attempt=1))
    async with AsyncExitStack() as second:
        bench = await Bench(tmp_path).open(second)
        reply = await bench.client.plan(PLAN)
        assert (reply.finished, reply.attempts) == (["q1"], {"q2": 2})
        progress = (await bench.client.status()).progress
        assert (progress.asked, progress.answered, progress.incorrect) == (2, 1, 1)


async def test_a_driver_that_starts_again_gets_the_next_attempts(bench: Bench) -> None:
    await bench.client.begin(begin("q2"))
    assert (await bench.client.plan(PLAN)).attempts == {"q2": 1}


async def test_the_meter_says_what_was_over_before_this_driver_began(bench: Bench) -> None:
    await bench.client.plan(PLAN)
    await bench.client.finish(Finish(query_id="q1", response="4", correct=True))
    assert (await bench.client.status()).progress.finished_before == 0
    await bench.client.plan(PLAN)
    assert (await bench.client.status()).progress.finished_before == 1


@pytest.mark.parametrize("change", [{"revision": "s"}, {"epochs": 2}, {"sha256": "1"}, {"records": 3}])
async def test_other_questions_than_those_in_the_journal_are_refused(
    tmp_path: Path, bench: Bench, change: dict[str, Any]
) -> None:
    await bench.client.plan(PLAN)
    async with AsyncExitStack() as later:
        again = await Bench(tmp_path).open(later)
        await again.client.plan(PLAN)
        with pytest.raises(BadInputError) as refused:
            await again.client.plan(Plan(task=TASK.model_copy(update=change), query_ids=["q9"]))
        ((name, value),) = change.items()
        assert f"{name} was {getattr(TASK, name)!r}, is {value!r}" in refused.value.message
        assert "--out" in (refused.value.remedy or "")


async def test_what_others_want_written_down_is_journalled(bench: Bench) -> None:
    await bench.client.note(Notice(topic="restart", subject="driver", message="it was started again"))
    (row,) = await bench.rows(Kind.NOTE)
    assert (row["topic"], row["subject"], row["message"]) == ("restart", "driver", "it was started again")


async def test_errors_and_unscored_answers_are_counted_apart(bench: Bench) -> None:
    await bench.client.finish(Finish(query_id="q1", error="model said: secret words"))
    await bench.client.finish(Finish(query_id="q2", response="?", unscored_reason="no number"))
    status = await bench.client.status()
    assert (status.progress.errors, status.progress.unscored, status.progress.answered) == (1, 1, 1)
    assert status.last_errors == ["question q1: failed"]


async def test_stages_are_journalled_and_told(bench: Bench) -> None:
    await bench.client.stage(StageEvent(stage=Stage.RUN, event="start"))
    assert (await bench.client.status()).stage is Stage.RUN
    await bench.client.stage(StageEvent(stage=Stage.RUN, event="end"))
    assert [(row["stage"], row["event"]) for row in await bench.rows(Kind.STAGE)] == [("run", "start"), ("run", "end")]
    assert [event.event for event in bench.run.told] == ["start", "end"]


async def test_endings_are_told(bench: Bench) -> None:
    done, finalise = DriverDone(outcome="completed"), Finalise(outcome="failed", message="why")
    await bench.client.driver_done(done)
    await bench.client.finalise(finalise)
    assert bench.run.told == [done, finalise]


async def test_ready_waits_for_the_servers(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.client.ready())
    await bench.client.status()
    assert not waiting.done()
    bench.ready.set()
    await waiting


async def test_servers_that_fail_are_told_with_the_remedy(bench: Bench) -> None:
    bench.ready_error = ServerError("not ready", remedy="Look into the log.")
    bench.ready.set()
    with pytest.raises(RunnerError, match="not ready") as caught:
        await bench.client.ready()
    assert caught.value.remedy == "Look into the log."


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("stage", '{"stage": "lunch", "event": "start"}', "stage"),
        ("finish", "{}", "query_id"),
        ("finish", '{"query_id": "q", "mark": 1}', "mark"),
        ("plan", '{"task": {"name": "x"}, "query_ids": []}', "task.revision"),
        ("begin", "nonsense", ""),
    ],
)
async def test_bad_messages_are_refused_with_their_field(bench: Bench, path: str, body: str, field: str) -> None:
    connector = aiohttp.UnixConnector(path=str(bench.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"http://meter/v1/{path}", data=body) as response,
    ):
        answer = await response.json()
        assert (response.status, answer["field"]) == (400, field)
        assert field in answer["message"]
    assert bench.run.told == []


async def test_the_socket_is_this_users_alone(bench: Bench) -> None:
    assert bench.socket.stat().st_mode & 0o077 == 0


async def test_without_a_meter_the_client_says_so(tmp_path: Path) -> None:
    client = ControlClient(tmp_path / "nobody.sock")
    with pytest.raises(MeterGoneError, match=r"nobody\.sock"):
        await client.status()
    await client.close()


async def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    app = web.Application()
    with pytest.raises(BadInputError, match="too long"):
        await serve_unix(app, path=tmp_path / ("x" * 100))


async def test_a_driver_that_attends_hears_when_it_is_to_end(bench: Any) -> None:
    assert await bench.client.attend() == "enough"
