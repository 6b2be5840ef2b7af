"""The machine slept: noticed by two clocks, journalled with its moment."""

from pathlib import Path
from typing import Any

import pytest

from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.sleep import SleepWatch

SECOND = 1_000_000_000


class Machine:
    """A machine whose time passes as told."""

    def __init__(self) -> None:
        self.awake_ns = 100 * SECOND
        self.slept_ns = 7 * SECOND
        self.realtime_ns = 1_790_000_000 * SECOND
        self.clock = Clock(
            monotonic_ns=lambda: self.awake_ns,
            realtime_ns=lambda: self.realtime_ns,
            sleepless_ns=lambda: self.awake_ns + self.slept_ns,
        )


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def watch(machine: Machine, journal: Journal) -> SleepWatch:
    return SleepWatch(journal, clock=machine.clock)


async def rows(journal: Journal, kind: Kind, folder: Path) -> list[dict[str, Any]]:
    await journal.commit()
    found: list[dict[str, Any]] = read(folder / "journal").table(kind).to_pylist()
    return found


async def test_a_sleep_is_journalled_once_with_its_length_and_moment(
    machine: Machine, watch: SleepWatch, journal: Journal, tmp_path: Path
) -> None:
    machine.awake_ns += SECOND
    watch.look()
    machine.awake_ns, machine.slept_ns = machine.awake_ns + SECOND, machine.slept_ns + 3600 * SECOND
    watch.look()
    watch.look()
    (row,) = await rows(journal, Kind.SUSPEND, tmp_path)
    assert (row["start_ns"], row["end_ns"], row["slept_ns"]) == (101 * SECOND, 102 * SECOND, 3600 * SECOND)
    (note,) = await rows(journal, Kind.NOTE, tmp_path)
    assert note["message"].startswith("the machine slept for 3600.0 s")


async def test_steps_of_the_wall_clock_are_no_sleep(
    machine: Machine, watch: SleepWatch, journal: Journal, tmp_path: Path
) -> None:
    for step in (3600, -7200):
        machine.awake_ns, machine.realtime_ns = machine.awake_ns + SECOND, machine.realtime_ns + step * SECOND
        watch.look()
    assert await rows(journal, Kind.SUSPEND, tmp_path) == []


def test_the_real_clock_that_never_sleeps_is_not_behind() -> None:
    awake_ns = SYSTEM_CLOCK.monotonic_ns()
    assert SYSTEM_CLOCK.sleepless_ns() >= awake_ns
