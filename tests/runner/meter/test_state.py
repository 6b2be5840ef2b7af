"""The meter's status and metrics: counts, rates, findings, and no texts."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from joulebench_api.contracts.meter import EnergyState, Finish, MeterStatus, Plan, ResolvedTask, Stage, StageEvent
from joulebench_runner.journal.clock import Clock
from joulebench_runner.meter import status
from joulebench_runner.meter.client import ErrorKind
from joulebench_runner.meter.http import serve_tcp
from joulebench_runner.meter.record import CallRecord
from joulebench_runner.meter.state import MeterState

Serve = Callable[..., Awaitable[Any]]


class Time:
    def __init__(self) -> None:
        self.seconds = 100.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic_ns=lambda: int(self.seconds * 1e9))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def state(time: Time) -> MeterState:
    return MeterState(run_id="r", aliases=["model", "judge"], clock=time.clock)


def call(**fields: Any) -> CallRecord:
    basics: dict[str, Any] = {
        "call_id": "c",
        "alias": "model",
        "role": "model",
        "stage": "run",
        "query_id": "q",
        "attempt": 0,
        "retry": 0,
        "endpoint": "chat/completions",
        "model": "m",
        "server_url": "u",
        "caller_streamed": False,
        "upstream_streamed": True,
        "intended_ns": 0,
        "send_ns": 0,
        "request_bytes": 1,
        "prompt_tokens": 1,
    }
    return CallRecord(**(basics | fields))


def test_tokens_per_second_are_those_of_the_last_ten_seconds(state: MeterState, time: Time) -> None:
    assert state.progress().output_tokens_per_second is None
    state.on_call(call(output_tokens=50), usage_missing=None)
    time.seconds += 5
    state.on_call(call(output_tokens=30), usage_missing=None)
    assert state.progress().output_tokens_per_second == 8.0
    time.seconds += 6
    assert state.progress().output_tokens_per_second == 3.0
    assert state.progress().output_tokens == 80


def test_tokens_of_submodels_count_for_the_answer(state: MeterState) -> None:
    state.on_call(call(output_tokens=7, role="submodel", alias="helper"), usage_missing=None)
    state.on_call(call(output_tokens=5), usage_missing=None)
    assert state.progress().output_tokens == 12


def test_tokens_of_judge_and_warmup_are_not_the_models(state: MeterState) -> None:
    state.on_call(call(output_tokens=50, role="judge", alias="judge"), usage_missing=None)
    state.on_call(call(output_tokens=50, stage="warmup"), usage_missing=None)
    assert state.progress().output_tokens == 0


def test_errors_are_kept_without_texts_and_only_the_last_five(state: MeterState) -> None:
    for status_code in range(500, 507):
        record = call(status=status_code)
        record.fail(ErrorKind.STATUS, "the prompt was: secret words")
        state.on_call(record, usage_missing="x")
    errors = state.status(EnergyState()).last_errors
    assert errors == [f"call to model: status (HTTP {code})" for code in range(502, 507)]


def test_missing_usage_is_found_once(time: Time) -> None:
    found: list[tuple[str, str]] = []
    state = MeterState(run_id="r", aliases=["model"], on_finding=lambda alias, words: found.append((alias, words)))
    for _ in range(3):
        state.on_call(call(), usage_missing="the server did not report usage")
    assert found == [("model", "the server of 'model' does not report usage")]


def test_the_window_of_the_run_is_remembered(state: MeterState, time: Time) -> None:
    state.on_stage(StageEvent(stage=Stage.RUN, event="start"))
    time.seconds += 3
    state.on_stage(StageEvent(stage=Stage.RUN, event="end"))
    assert (state.run_started_ns, state.run_ended_ns) == (100 * 10**9, 103 * 10**9)
    assert state.status(EnergyState()).stage_started_seconds_ago == 3.0


def test_servers_tell_their_state(state: MeterState) -> None:
    state.on_server("model", "ready")
    state.on_server("judge", "failed", message="no")
    state.in_flight.begin(alias="model", url="u")
    model, judge = state.status(EnergyState()).servers
    assert (model.state, model.in_flight) == ("ready", 1)
    assert (judge.state, judge.message) == ("failed", "no")


async def test_status_metrics_and_health_are_served(state: MeterState, stack: AsyncExitStack) -> None:
    task = ResolvedTask(name="t", revision="r", records=2, sha256="0")
    state.on_plan(Plan(task=task, query_ids=["a", "b"]))
    state.on_finish(Finish(query_id="a", response="secret words", correct=True))
    state.on_call(call(output_tokens=7), usage_missing=None)
    energy = EnergyState(sensor="rapl", kind="measured", devices=1, watts=12.5, joules=3.0)
    app = status.application(state, status=lambda: state.status(energy))
    runner, url = await serve_tcp(app, host="127.0.0.1", port=0, name="status page")
    stack.push_async_callback(runner.cleanup)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    async with session.get(f"{url}/healthz") as response:
        assert response.status == 200
    async with session.get(f"{url}/status") as response:
        text = await response.text()
        assert MeterStatus.model_validate_json(text).progress.total == 2
    async with session.get(f"{url}/metrics") as response:
        metrics = await response.text()
    assert "secret" not in text + metrics
    for line in (
        "joulebench_meter_questions 2.0",
        'joulebench_meter_questions_by_state{state="correct"} 1.0',
        "joulebench_meter_power_watts 12.5",
        'joulebench_meter_calls_total{alias="model",outcome="ok"} 1.0',
        'joulebench_meter_calls_in_flight{alias="judge"} 0.0',
    ):
        assert line in metrics.splitlines()
