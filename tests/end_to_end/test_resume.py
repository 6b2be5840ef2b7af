"""Runs that are cut off go on: nothing is asked twice, nothing is lost, every joule is accounted for."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

Serve = Callable[..., Any]
Start = Callable[..., Any]
Write = Callable[..., Path]


@dataclass
class SlowModel:
    """Answers after a while, and keeps a log of what it completed, as a model server would."""

    stream: Callable[..., Any]
    seconds: float = 0.4
    completed: list[tuple[int, str]] = field(default_factory=list)
    in_flight: int = 0

    async def __call__(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.in_flight += 1
        try:
            await asyncio.sleep(self.seconds)
            response: web.StreamResponse = await self.stream(request, body)
            self.completed.append((time.monotonic_ns(), body["messages"][-1]["content"]))
        finally:
            self.in_flight -= 1
        return response


@pytest.fixture
def model(answer_with: Callable[[str], Any]) -> SlowModel:
    return SlowModel(answer_with("4 and that is all"))


def spec(server: Any, **more: Any) -> dict[str, Any]:
    return {"server": {"external": {"url": server.url, "model": "scripted"}}, "concurrency": 4} | more


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of init that nobody has waited for yet is dead all the same.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "a process outlived the run"
        time.sleep(0.02)


def rows(folder: Path, kind: Kind) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(folder / "journal").table(kind).to_pylist()
    return found


def check_everything_once(run: Any, model: SlowModel, *, questions: int) -> None:
    """What must hold after any number of accidents."""
    assert run.exit_code == 0, run.err
    summary, folder = run.summary, run.folder
    assert summary["state"] == "completed"
    assert summary["counts"]["asked"] == summary["counts"]["answered"] == questions
    assert summary["energy"]["conserved"] is True
    queries = pq.read_table(folder / "queries.parquet").to_pylist()
    assert max(Counter((row["record_id"], row["epoch"]) for row in queries).values()) == 1
    assert len(queries) == questions
    finishes = rows(folder, Kind.QUERY_FINISH)
    assert max(Counter(row["query_id"] for row in finishes).values()) == 1
    finished_ns = {row["query_id"]: row["time_ns"] for row in finishes}
    begins = rows(folder, Kind.QUERY_BEGIN)
    queries_by_text = {json.loads(row["messages"])[-1]["content"]: row["query_id"] for row in begins}
    for at_ns, text in model.completed:
        assert at_ns <= finished_ns[queries_by_text[text]], (
            f"{text!r} was completed again after its answer was acknowledged"
        )


def test_each_process_that_is_killed_is_started_again_once(
    model: SlowModel, serve: Serve, benchmark: Write, start: Start
) -> None:
    server = serve(model)
    file = benchmark(**spec(server, task={"name": "everyday", "limit": 40}))
    run = start(file)
    run.until(lambda: model.in_flight == 4 and len(model.completed) >= 4)
    run.kill("exporter")
    run.until(lambda: len(model.completed) >= 10 and model.in_flight == 4)
    run.kill("driver")
    run.until(lambda: len(model.completed) >= 18 and model.in_flight == 4)
    run.kill("meter")

    done = run.end()

    check_everything_once(done, model, questions=40)
    summary = done.summary
    restarts = [warning for warning in summary["warnings"] if warning.startswith("restart (")]
    assert [warning.partition(")")[0] for warning in restarts] == [
        "restart (exporter",
        "restart (driver",
        "restart (meter",
    ]
    assert all("was ended by SIGKILL and was started again" in warning for warning in restarts)
    for name in ("exporter", "driver", "meter"):
        assert f"{name} was ended by SIGKILL" in done.err
    assert summary["energy"]["unattributed"]["abandoned"] > 0
    assert "counter_reset" not in summary["energy"]["unattributed"]
    assert summary["energy"]["coverage_percent"] > 80
    assert len(list((done.folder / "logs").glob("*.eval"))) == 3
    assert not (done.folder / "settings" / "processes.json").exists()


def test_ctrl_c_and_a_killed_parent_keep_what_is_finished_and_say_how_to_go_on(
    model: SlowModel, serve: Serve, benchmark: Write, start: Start
) -> None:
    model.seconds = 2.0
    server = serve(model)
    file = benchmark(**spec(server, task={"name": "everyday", "limit": 220}, concurrency=200))
    first = start(file)
    first.until(lambda: model.in_flight == 200)
    first.process.send_signal(signal.SIGINT)
    stopped = first.end()
    assert stopped.exit_code == 130
    assert "interrupted: interrupted by the user" in stopped.err
    assert f"to go on: joulebench run {file} --sensor modelled --out {stopped.folder}" in stopped.err
    assert stopped.summary["state"] == "interrupted"
    assert stopped.summary["energy"]["conserved"] is True

    # Twice: out at once. The results of before are still there, and it can go on.
    second = start(file)
    second.until(lambda: model.in_flight == 200)
    second.process.send_signal(signal.SIGTERM)
    second.process.send_signal(signal.SIGINT)
    out_at_once = second.end()
    assert out_at_once.exit_code == 130
    assert "to go on: joulebench run" in out_at_once.err

    model.seconds = 0.2
    third = start(file)
    third.until(lambda: model.in_flight > 0 and len(model.completed) >= 20)
    pids = third.pids()
    assert pids["supervisor"] == third.process.pid
    third.kill("supervisor")
    third.end()
    wait_gone(list(pids.values()))

    done = start(file).end()
    check_everything_once(done, model, questions=220)
    assert {segment.run_id for segment in read(done.folder / "journal").segments} == {done.summary["run"]}
    assert len(json.loads((done.folder / "provenance.json").read_text())["planned"]["starts"]) == 4


@dataclass
class Failing:
    """Refuses for want of capacity, then fails."""

    refusals: int
    asked: int = 0

    async def __call__(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        self.asked += 1
        if self.asked <= self.refusals:
            return web.json_response({"error": {"message": "not now"}}, status=429, headers={"Retry-After": "0"})
        return web.json_response({"error": {"message": "broken"}}, status=500)


def test_after_too_many_errors_it_goes_on_under_a_higher_limit_and_a_complete_run_is_only_shown(
    model: SlowModel, serve: Serve, benchmark: Write, start: Start
) -> None:
    server = serve(Failing(refusals=6))
    task = {"name": "everyday", "limit": 30}
    limited = start(benchmark(**spec(server, task=task, maxErrors=2))).end()
    assert limited.exit_code == 3, limited.err
    assert "to go on: joulebench run" in limited.err
    failed = limited.summary["counts"]["errors"]
    assert 3 <= failed < 30
    assert limited.summary["state"] == "error-limit"

    server.answer = model
    model.seconds = 0.0
    file = benchmark(**spec(server, task=task, maxErrors=20))
    done = start(file).end()
    assert done.exit_code == 0, done.err
    counts = done.summary["counts"]
    assert (counts["asked"], counts["answered"], counts["errors"]) == (30, 30 - failed, failed)
    asked = len(server.questions)

    again = start(file, "--json").end()
    assert (again.exit_code, again.out) == (0, (done.folder / "summary.json").read_text())
    assert "complete; nothing was asked" in again.err

    changed = start(file, "--set", "spec.task.limit=7", "--set", "spec.maxErrors=3").end()
    assert changed.exit_code == 2
    assert "spec.task.limit: was 30, is 7" in changed.err
    assert "maxErrors" not in changed.err
    assert len(server.questions) == asked

    before = (done.folder / "summary.json").read_bytes()
    anew = start(file, "--set", "spec.rerunToken=b").end()
    assert anew.exit_code == 0, anew.err
    assert (done.folder / "summary.json").read_bytes() == before
    assert json.loads((done.folder / "attempts" / "2" / "summary.json").read_text())["counts"]["answered"] == 30
    assert len(server.questions) == asked + 30


def test_a_folder_that_can_no_longer_be_written_ends_the_run_which_goes_on_once_it_can(
    model: SlowModel, serve: Serve, benchmark: Write, start: Start
) -> None:
    # Root may write everywhere, so the journal's folder is taken away instead of its permissions.
    server = serve(model)
    file = benchmark(**spec(server, task={"name": "everyday", "limit": 60}))
    run = start(file)
    run.until(lambda: len(model.completed) >= 4)
    journal = run.folder / "journal"
    journal.rename(run.folder / "away")
    failed = run.end()
    assert failed.exit_code == 1
    assert "cannot write the journal" in failed.err
    assert "to go on: joulebench run" in failed.err

    journal.rmdir() if journal.exists() else None
    (run.folder / "away").rename(journal)
    model.seconds = 0.0
    check_everything_once(start(file).end(), model, questions=60)
