"""How a runner pod ends: who goes first, with which exit code, and what it leaves behind."""

import asyncio
import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import ExitCode
from joulebench_runner.journal.schema import Kind

QUESTIONS = 40
SLOW = {"step_time": "50ms", "words": "3-4"}
"""Some seconds for all questions, so that there is a middle."""
AT = "127.0.0.1"


def answered(pod: Any) -> Counter[str]:
    """How often each question was acknowledged."""
    return Counter(row["query_id"] for row in pod.journal().table(Kind.QUERY_FINISH).to_pylist())


async def until_answered(pod: Any, count: int) -> None:
    await pod.ground.until(lambda: len(answered(pod)) >= count, by=pod.meter)


async def test_a_run_is_gone_on_with_after_sigterm_and_a_meters_death_and_nothing_is_asked_twice(
    place: Any, tmp_path: Path
) -> None:
    await place.ground.simulator(host=AT, port=place.port, **SLOW)
    store = StoreSettings(url=f"file://{tmp_path}/kept/run-1")

    async def start() -> Any:
        pod = place.new_pod()
        await pod.start(pod.meter_settings([place.upstream(AT)], store=store), pod.driver_settings(QUESTIONS))
        return pod

    # SIGTERM to both, as the kubelet sends it.
    first = await start()
    await until_answered(first, 3)
    first.meter.signal(signal.SIGTERM)
    first.driver.signal(signal.SIGTERM)
    assert await first.exit_codes() == (ExitCode.INTERRUPTED, ExitCode.INTERRUPTED), first.words()
    assert (first.termination.state, first.summary.state) == ("interrupted", "interrupted")
    done = answered(first)

    # The same folder, as on a claim. The meter dies: its driver ends by itself.
    second = await start()
    await until_answered(second, len(done) + 3)
    second.meter.signal(signal.SIGKILL)
    began = time.monotonic()
    assert await second.driver.exit_code() == ExitCode.INFRASTRUCTURE, second.words()
    # Not a figure: a promise to those who wait for the pod's end.
    assert time.monotonic() - began < 5
    done = answered(second)

    last = await start()
    assert await last.exit_codes() == (ExitCode.DONE, ExitCode.DONE), last.words()
    assert done.keys() < answered(last).keys()
    assert (len(answered(last)), {*answered(last).values()}) == (QUESTIONS, {1})
    _check_message(last, kept=tmp_path / "kept" / "run-1")


def _check_message(pod: Any, *, kept: Path) -> None:
    message = pod.termination
    assert (message.state, message.energy_incomplete, message.message) == ("completed", False, None)
    assert message.summary.counts.asked == QUESTIONS
    assert message.task.name == "everyday"
    assert message.results.url == f"file://{kept}/summary.json"
    assert message.results.bytes == (kept / "summary.json").stat().st_size
    assert json.loads((kept / "settings" / "driver.json").read_text())["run_id"] == "run-1"
    assert json.loads((kept / "settings" / "meter.json").read_text())["run_name"] == "a-run"


async def test_a_meter_whose_driver_dies_says_to_try_again_and_another_node_goes_on_from_the_store(
    place: Any, tmp_path: Path
) -> None:
    await place.ground.simulator(host=AT, port=place.port)
    settings = {"store": StoreSettings(url=f"file://{tmp_path}/kept/run-1"), "driver_gone_seconds": 0.2}
    first = place.new_pod(results="first")
    await first.start_meter(first.meter_settings([place.upstream(AT)], **settings))
    driver = await place.asker(first)
    await driver.begin(2)
    await driver.ask()
    await driver.close()
    assert await first.meter.exit_code() == ExitCode.INFRASTRUCTURE, first.words()
    assert first.termination.state == "interrupted"
    assert "the driver died" in (first.termination.message or "")

    second = place.new_pod(results="second")
    await second.start_meter(second.meter_settings([place.upstream(AT)], **settings))
    again = await place.asker(second)
    assert (await again.begin(2)).finished == [f"{0:016x}"]
    await again.skip().ask()
    assert await again.done() == ExitCode.DONE, second.words()
    assert answered(second) == {f"{number:016x}": 1 for number in range(2)}
    assert second.summary.counts.asked == 2


async def test_a_meter_that_is_stopped_has_its_driver_end_first(place: Any) -> None:
    await place.ground.simulator(host=AT, port=place.port)
    pod = place.new_pod()
    await pod.start_meter(pod.meter_settings([place.upstream(AT)]))
    asker = await place.asker(pod)
    await asker.begin(2)
    await asker.ask()
    pod.meter.signal(signal.SIGTERM)
    assert await asyncio.wait_for(asker.attending, 30) == "stopped by SIGTERM"
    assert await pod.meter.exit_code() == ExitCode.INTERRUPTED, pod.words()
    assert (pod.termination.state, pod.termination.message) == ("interrupted", "stopped by SIGTERM")
    assert pod.summary.counts.asked == 1


async def test_a_meter_that_no_driver_comes_to_ends_as_infrastructure_and_keeps_its_folder_for_its_run(
    place: Any,
) -> None:
    pod = place.new_pod()
    await pod.start_meter(pod.meter_settings([place.upstream(AT)], driver_start_seconds=0.1))
    assert await pod.meter.exit_code() == ExitCode.INFRASTRUCTURE
    assert pod.termination.message == "no driver came within 0.1 s"
    other = place.new_pod(run_id="run-2")
    await other.start_meter(other.meter_settings([place.upstream(AT)]))
    assert await other.meter.exit_code() == ExitCode.BAD_INPUT
    assert "holds the journal of run run-1, not of run-2" in (other.termination.message or "")


async def test_a_meter_that_cannot_begin_says_why_and_its_driver_does_not_wait(place: Any) -> None:
    pod = place.new_pod()
    await pod.start(
        pod.meter_settings([place.upstream(AT, key_variable="NO_SUCH_KEY")]), pod.driver_settings(QUESTIONS)
    )
    assert await pod.exit_codes() == (ExitCode.INFRASTRUCTURE, ExitCode.BAD_INPUT), pod.words()
    assert pod.termination.state == "failed"
    assert "NO_SUCH_KEY is not set" in (pod.termination.message or "")
    assert pod.termination.remedy
