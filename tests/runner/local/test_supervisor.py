"""Supervision with a real meter and small scripts in the place of the others."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulebench_api.contracts.meter import MeterStatus
from joulebench_runner.config import DriverSettings, EnergySettings, MeterSettings, TaskSettings, Upstream
from joulebench_runner.errors import BadInputError, ExitCode, RunnerError, StoppedError
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.local.execution import _write_settings
from joulebench_runner.local.plan import Command, LocalPlan
from joulebench_runner.local.run_file import RunFile
from joulebench_runner.local.supervisor import Supervisor

DEADLINE_SECONDS = 25

COUNTED = """
import os, pathlib, signal, sys, time
starts = pathlib.Path(sys.argv[1])
count = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (count + 1))
"""
DIES = COUNTED + "print('my last words', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
DIES_ONCE = COUNTED + "os.kill(os.getpid(), signal.SIGKILL) if count == 0 else None"
FAILS = COUNTED + "print('I cannot'); sys.exit(1)"
WAITS = COUNTED + "time.sleep(60)"
KILLS_THE_METER = (
    COUNTED
    + """
import json
if count == 0:
    while not os.path.exists(sys.argv[3]):
        time.sleep(0.01)
    # Only now: the driver is started before the meter, whose id is written down later.
    os.kill(json.loads(pathlib.Path(sys.argv[2]).read_text())["meter"], signal.SIGKILL)
    time.sleep(60)
"""
)
REFUSES = "import sys; print('exporter: no counter here\\ntake another'); sys.exit(2)"


class Bench:
    """A plan whose driver is a script."""

    def __init__(self, folder: Path, driver: str, *, exporter: str | None = None, server: str | None = None) -> None:
        self.run_dir = folder / "run"
        self.notes: list[str] = []
        settings = self.run_dir / "settings"
        meter = MeterSettings(
            run_id="run-1",
            run_name="test",
            run_dir=self.run_dir,
            control_socket=folder / "c.sock",
            ready_file=folder / "ready.json",
            upstreams=[Upstream(alias="model", role="model", model="m", base_urls=["http://127.0.0.1:9/v1"])],
            energy=EnergySettings(policy="Disabled"),
            finalise_on="request",
        )
        words = (settings / "processes.json", meter.ready_file)
        self.plan = LocalPlan(
            run_dir=self.run_dir,
            run_file=RunFile(run_id="run-1", same={}),
            meter_settings=meter,
            driver_settings=DriverSettings(
                run_id="run-1",
                run_dir=self.run_dir,
                control_socket=meter.control_socket,
                ready_file=meter.ready_file,
                task=TaskSettings(name="everyday"),
            ),
            exporter=None if exporter is None else self._script("exporter", exporter),
            server=None if server is None else self._script("server", server),
            meter=Command(
                "meter",
                (
                    sys.executable,
                    *f"-m joulebench_runner.meter --exit-with-stdin --settings {settings}/meter.json".split(),
                ),
            ),
            driver=self._script("driver", driver, *map(str, words)),
            run_seconds=DEADLINE_SECONDS,
        )
        _write_settings(self.plan)
        self.supervisor = Supervisor(self.plan, on_status=self.on_status, on_note=self.notes.append)
        self.answered = asyncio.Event()

    def _script(self, name: str, code: str, *words: str) -> Command:
        return Command(name, (sys.executable, "-c", code, str(self.run_dir / f"{name}.starts"), *words))

    def on_status(self, _status: MeterStatus) -> None:
        self.answered.set()

    async def run(self) -> ExitCode:
        return await asyncio.wait_for(self.supervisor.run(), DEADLINE_SECONDS)

    def starts(self, name: str) -> int:
        return len((self.run_dir / f"{name}.starts").read_text())

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run_dir / "summary.json").read_text())
        return found

    def restarts(self) -> list[str]:
        rows = read(self.run_dir / "journal").table(Kind.NOTE).to_pylist()
        return [row["subject"] for row in rows if row["topic"] == "restart"]


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda driver, **others: Bench(tmp_path, driver, **others)


async def test_a_driver_that_dies_once_is_started_again_and_it_is_written_down(bench: Callable[..., Bench]) -> None:
    made = bench(DIES_ONCE)
    assert await made.run() is ExitCode.DONE
    assert (made.starts("driver"), made.restarts()) == (2, ["driver"])
    assert made.notes == ["the driver was ended by SIGKILL and was started again"]
    assert made.summary["warnings"] == [f"restart (driver): {made.notes[0]}"]


async def test_a_driver_that_dies_twice_ends_the_run_with_its_last_words(bench: Callable[..., Bench]) -> None:
    made = bench(DIES)
    assert await made.run() is ExitCode.FAILED
    assert made.starts("driver") == 2
    assert "the driver was ended by SIGKILL after it had been started again" in made.summary["message"]
    assert "my last words" in made.summary["message"]


async def test_a_driver_that_ends_by_itself_has_had_its_say(bench: Callable[..., Bench]) -> None:
    made = bench(FAILS)
    assert await made.run() is ExitCode.FAILED
    assert (made.starts("driver"), made.notes) == (1, [])
    assert "I cannot" in made.summary["message"]


async def test_a_meter_that_dies_is_started_again_with_the_driver_and_counts_as_one(
    bench: Callable[..., Bench],
) -> None:
    made = bench(KILLS_THE_METER)
    assert await made.run() is ExitCode.DONE
    assert (made.starts("driver"), made.restarts()) == (2, ["meter"])


async def test_an_exporter_that_dies_is_started_again_and_the_second_time_ends_the_run(
    bench: Callable[..., Bench],
) -> None:
    made = bench(WAITS, exporter=DIES)
    assert await made.run() is ExitCode.FAILED
    assert made.starts("exporter") == 2
    assert "the energy exporter was ended by SIGKILL after it had been started again" in made.summary["message"]


async def test_an_exporter_that_refuses_to_start_is_bad_input(bench: Callable[..., Bench]) -> None:
    with pytest.raises(BadInputError, match="no counter here") as refused:
        await bench(WAITS, exporter=REFUSES).run()
    assert refused.value.remedy == "take another"


async def test_a_model_server_of_ours_that_dies_is_not_started_again(bench: Callable[..., Bench]) -> None:
    made = bench(WAITS, server=DIES)
    assert await made.run() is ExitCode.FAILED
    assert made.starts("server") == 1
    assert "the model server was ended by SIGKILL; the last lines of" in made.summary["message"]


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, "interrupted by the user"), (signal.SIGTERM, "stopped by SIGTERM")]
)
async def test_an_interrupted_run_writes_its_results(
    bench: Callable[..., Bench], number: signal.Signals, words: str
) -> None:
    made = bench(WAITS)
    running = asyncio.create_task(made.run())
    await asyncio.wait_for(made.answered.wait(), DEADLINE_SECONDS)
    made.supervisor.interrupt(number)
    assert await running is ExitCode.INTERRUPTED
    assert (made.summary["state"], made.summary["message"]) == ("interrupted", words)


async def test_who_interrupts_twice_is_out_at_once(bench: Callable[..., Bench]) -> None:
    made = bench(WAITS)
    running = asyncio.create_task(made.run())
    await asyncio.wait_for(made.answered.wait(), DEADLINE_SECONDS)
    made.supervisor.interrupt()
    made.supervisor.kill()
    with pytest.raises(StoppedError) as stopped:
        await running
    assert stopped.value.exit_code is ExitCode.INTERRUPTED
    assert not (made.run_dir / "summary.json").exists()


async def test_a_meter_that_dies_while_it_sums_up_is_started_again_for_that(bench: Callable[..., Bench]) -> None:
    made = bench(WAITS)
    running = asyncio.create_task(made.run())
    await asyncio.wait_for(made.answered.wait(), DEADLINE_SECONDS)
    # It is dead before it can be told that the run is over.
    made.supervisor._crew["meter"].signal(signal.SIGKILL)
    made.supervisor.interrupt()
    assert await running is ExitCode.INTERRUPTED
    assert made.summary["state"] == "interrupted"
    assert made.restarts() == ["meter"]


async def test_a_meter_that_cannot_go_on_ends_the_run(bench: Callable[..., Bench]) -> None:
    made = bench(WAITS)
    (made.run_dir / "journal").write_text("no folder")
    with pytest.raises(RunnerError, match="the meter ended with exit code 1"):
        await made.run()
