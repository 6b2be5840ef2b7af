"""How a runner pod ends: who goes first, with which exit code, and what it leaves behind."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import ExitCode
from joulebench_runner.journal.schema import Kind

QUESTIONS = 12
SLOW = {"step_time": "100ms"}
"""Some seconds for all questions, so that there is a middle."""


def answered(pod: Any) -> Counter[str]:
    """How often each question was acknowledged."""
    return Counter(row["query_id"] for row in pod.journal().table(Kind.QUERY_FINISH).to_pylist())


async def until_answered(pod: Any, count: int) -> None:
    await pod.ground.until(lambda: len(answered(pod)) >= count, by=pod.meter)


@pytest.fixture
async def slow_server(ground: Any, port: int) -> Any:
    return await ground.simulator(host="127.0.0.1", port=port, **SLOW)


async def test_a_pod_ends_driver_first_with_its_message_and_its_results(
    ground: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any], port: int, tmp_path: Path
) -> None:
    await ground.simulator(host="127.0.0.1", port=port)
    pod = new_pod()
    store = StoreSettings(url=f"file://{tmp_path}/kept/run-1")
    await pod.start(pod.meter_settings([upstream("127.0.0.1")], store=store), pod.driver_settings(QUESTIONS))
    assert await pod.exit_codes() == (ExitCode.DONE, ExitCode.DONE), pod.words()
    message = pod.termination
    assert (message.state, message.energy_incomplete, message.message) == ("completed", False, None)
    assert message.summary is not None
    assert message.summary.counts is not None
    assert message.summary.counts.asked == QUESTIONS
    assert message.task is not None
    assert message.task.name == "everyday"
    assert message.results is not None
    assert message.results.url == f"file://{tmp_path}/kept/run-1/summary.json"
    kept = tmp_path / "kept" / "run-1"
    assert message.results.bytes == (kept / "summary.json").stat().st_size
    assert json.loads((kept / "settings" / "driver.json").read_text())["run_id"] == "run-1"
    assert json.loads((kept / "settings" / "meter.json").read_text())["run_name"] == "a-run"


async def test_a_driver_whose_meter_dies_ends_within_five_seconds_as_infrastructure(
    slow_server: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any]
) -> None:
    pod = new_pod()
    await pod.start(pod.meter_settings([upstream("127.0.0.1")]), pod.driver_settings(QUESTIONS))
    await until_answered(pod, 2)
    pod.meter.signal(signal.SIGKILL)
    began = time.monotonic()
    assert await pod.driver.exit_code() == ExitCode.INFRASTRUCTURE, pod.words()
    # Not a figure: a promise to those who wait for the pod's end, four times what it takes.
    assert time.monotonic() - began < 5


async def test_a_meter_whose_driver_dies_flushes_and_another_pod_goes_on_asking_nothing_twice(
    slow_server: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any], tmp_path: Path
) -> None:
    store = StoreSettings(url=f"file://{tmp_path}/kept/run-1")
    first = new_pod(results="first")
    settings = {"store": store, "driver_gone_seconds": 0.5}
    await first.start(first.meter_settings([upstream("127.0.0.1")], **settings), first.driver_settings(QUESTIONS))
    await until_answered(first, 3)
    first.driver.signal(signal.SIGKILL)
    assert await first.meter.exit_code() == ExitCode.INFRASTRUCTURE, first.words()
    assert first.termination.state == "interrupted"
    assert "the driver died" in (first.termination.message or "")

    second = new_pod(results="second")
    await second.start(second.meter_settings([upstream("127.0.0.1")], **settings), second.driver_settings(QUESTIONS))
    assert await second.exit_codes() == (ExitCode.DONE, ExitCode.DONE), second.words()
    assert len(answered(second)) == QUESTIONS
    assert set(answered(second).values()) == {1}
    assert answered(first).keys() < answered(second).keys()
    assert second.summary.counts.asked == QUESTIONS


async def test_sigterm_to_the_meter_alone_ends_both_in_order_and_the_claim_is_gone_on_with(
    slow_server: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any]
) -> None:
    first = new_pod()
    await first.start(first.meter_settings([upstream("127.0.0.1")]), first.driver_settings(QUESTIONS))
    await until_answered(first, 3)
    first.meter.signal(signal.SIGTERM)
    assert await first.exit_codes() == (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED), first.words()
    assert (first.termination.state, first.termination.message) == ("interrupted", "stopped by SIGTERM")
    before = answered(first)

    second = new_pod()
    await second.start(second.meter_settings([upstream("127.0.0.1")]), second.driver_settings(QUESTIONS))
    assert await second.exit_codes() == (ExitCode.DONE, ExitCode.DONE), second.words()
    assert set(answered(second).values()) == {1}
    assert before.keys() < answered(second).keys()


async def test_sigterm_to_both_at_once_ends_in_order(
    slow_server: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any]
) -> None:
    pod = new_pod()
    await pod.start(pod.meter_settings([upstream("127.0.0.1")]), pod.driver_settings(QUESTIONS))
    await until_answered(pod, 1)
    pod.meter.signal(signal.SIGTERM)
    pod.driver.signal(signal.SIGTERM)
    assert await pod.exit_codes() == (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED), pod.words()
    assert pod.summary.state == "interrupted"


async def test_a_meter_that_no_driver_comes_to_ends_as_infrastructure(
    slow_server: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any]
) -> None:
    pod = new_pod()
    await pod.start_meter(pod.meter_settings([upstream("127.0.0.1")], driver_start_seconds=0.5))
    assert await pod.meter.exit_code() == ExitCode.INFRASTRUCTURE
    assert pod.termination.message == "no driver came within 0.5 s"


async def test_a_meter_that_cannot_begin_says_why_and_its_driver_does_not_wait(
    new_pod: Callable[..., Any], upstream: Callable[..., Any]
) -> None:
    pod = new_pod()
    await pod.start(
        pod.meter_settings([upstream("127.0.0.1", key_variable="NO_SUCH_KEY")]), pod.driver_settings(QUESTIONS)
    )
    assert await pod.exit_codes() == (ExitCode.INFRASTRUCTURE, ExitCode.BAD_INPUT), pod.words()
    assert pod.termination.state == "failed"
    assert "NO_SUCH_KEY is not set" in (pod.termination.message or "")
    assert pod.termination.remedy


async def test_the_store_of_another_run_is_not_gone_on_with(
    slow_server: Any, new_pod: Callable[..., Any], upstream: Callable[..., Any]
) -> None:
    first = new_pod()
    await first.start_meter(first.meter_settings([upstream("127.0.0.1")], driver_start_seconds=0.1))
    await first.meter.exit_code()
    second = new_pod(run_id="run-2")
    await second.start_meter(second.meter_settings([upstream("127.0.0.1")]))
    async with asyncio.timeout(30):
        assert await second.meter.exit_code() == ExitCode.BAD_INPUT
    assert "holds the journal of run run-1, not of run-2" in (second.termination.message or "")
