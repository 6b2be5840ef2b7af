"""The driver's course where inspect-ai is not needed, in this process, against the scripted meter."""

import asyncio
import json
from typing import Any

import pytest

from joulebench_api.contracts.identity import query_id
from joulebench_api.contracts.meter import DriverDone
from joulebench_runner.config import DriverSettings, TaskSettings
from joulebench_runner.driver import app
from joulebench_runner.errors import ExitCode
from joulebench_runner.tasks.everyday import records


@pytest.fixture(autouse=True)
def without_inspect(monkeypatch: pytest.MonkeyPatch) -> None:
    """These courses end before a question is asked."""
    monkeypatch.setattr(app, "_import_inspect", lambda: None)


def prepared(driver: Any, task: TaskSettings, **changes: Any) -> DriverSettings:
    """Settings with a meter that is ready."""
    driver.write_ready_file()
    settings: DriverSettings = driver.settings(task, **changes)
    return settings


def outcome(settings: DriverSettings) -> DriverDone:
    """What the driver left in its outcome file."""
    assert settings.outcome_file is not None
    return DriverDone.model_validate_json(settings.outcome_file.read_bytes())


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"name": "everday"}, "no task 'everday'"),
        ({"name": "everyday", "params": {"level": 9}}, "task.params.level is 9"),
        ({"name": "everyday", "record_ids": ["0123"]}, "'0123' is no record of this task"),
        ({"name": "inspect:nowhere_to_be_found/x"}, "is not installed"),
    ],
)
async def test_bad_input_asks_nothing_and_says_what_is_wrong(
    driver: Any, meter: Any, task: dict[str, Any], words: str
) -> None:
    settings = prepared(driver, TaskSettings.model_validate(task))
    assert await app.drive(settings) == ExitCode.BAD_INPUT
    assert words in (outcome(settings).message or "")
    assert outcome(settings).remedy
    [done] = meter.bodies("driver-done")
    assert (done["outcome"], done["message"]) == ("failed", outcome(settings).message)
    assert not meter.paths()
    assert not meter.bodies("plan")


async def test_a_server_that_does_not_get_ready_is_told_with_its_remedy(driver: Any, meter: Any) -> None:
    meter.not_ready = "the model server ended with code 1"
    settings = prepared(driver, TaskSettings(name="everyday"))
    assert await app.drive(settings) == ExitCode.FAILED
    assert (outcome(settings).message, outcome(settings).remedy) == (meter.not_ready, "look at its log")


async def test_a_meter_that_does_not_answer_is_infrastructure(driver: Any) -> None:
    settings = prepared(driver, TaskSettings(name="everyday"))
    settings = settings.model_copy(update={"control_socket": driver.folder / "nobody.sock"})
    assert await app.drive(settings) == ExitCode.INFRASTRUCTURE


async def test_a_meter_that_never_starts_is_infrastructure(driver: Any) -> None:
    settings = driver.settings(TaskSettings(name="everyday"), meter_start_seconds=0.05)
    assert await app.drive(settings) == ExitCode.INFRASTRUCTURE
    assert "the meter did not get ready" in (outcome(settings).message or "")


async def test_a_meter_that_failed_before_it_was_ready_is_not_waited_for(driver: Any) -> None:
    words = DriverDone(outcome="failed", message="no such key", remedy="name one")
    (driver.folder / "meter-outcome.json").write_text(words.model_dump_json())
    settings = driver.settings(TaskSettings(name="everyday"), meter_outcome_file=driver.folder / "meter-outcome.json")
    async with asyncio.timeout(20):
        assert await app.drive(settings) == ExitCode.INFRASTRUCTURE
    assert outcome(settings).message == "no such key"


async def test_a_meter_that_dies_while_nothing_is_said_to_it_ends_the_driver(
    driver: Any, meter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_WATCH_SECONDS", 0.01)
    meter.dies_in = "baseline"
    settings = prepared(driver, TaskSettings(name="everyday"), baseline_seconds=600.0)
    async with asyncio.timeout(20):
        assert await app.drive(settings) == ExitCode.INFRASTRUCTURE
    assert not meter.paths()


async def test_nothing_left_to_ask_is_a_completed_run(driver: Any, meter: Any) -> None:
    first = next(records(seed=42, levels=(1,)))
    task = TaskSettings(name="everyday", params={"level": 1}, limit=1)
    meter.finished = [
        query_id(task="everyday", dataset_revision="everyday/1 levels=1", record_id=first.record_id, epoch=1)
    ]
    settings = prepared(driver, task, baseline_seconds=600.0, warmup_queries=5)
    assert await app.drive(settings) == ExitCode.DONE
    assert outcome(settings).message == "every question was answered before"
    assert not meter.paths()


async def test_a_ready_file_that_is_still_being_written_is_waited_for(driver: Any) -> None:
    settings = driver.settings(TaskSettings(name="everyday"), meter_start_seconds=0.05)
    settings.ready_file.write_text('{"proxy_url": "http')
    with pytest.raises(app.MeterMissingError):
        await app._proxy_url(settings)
    settings.ready_file.write_text(json.dumps({"proxy_url": "http://127.0.0.1:1/"}))
    assert await app._proxy_url(settings) == "http://127.0.0.1:1"
