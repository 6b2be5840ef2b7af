"""Whether a driver is there, as the meter sees it."""

import asyncio
from contextlib import suppress

from joulebench_runner.meter.attendance import Attendance


async def settled(task: "asyncio.Task[str]") -> None:
    """Let a task get as far as it can."""
    await asyncio.wait({task}, timeout=0.01)


async def gone(task: "asyncio.Task[str]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_driver_that_never_comes_is_missed() -> None:
    words = await Attendance().missed(first_seconds=0.01, again_seconds=60)
    assert words == "no driver came within 0.01 s"


async def test_a_driver_that_died_is_missed_unless_another_comes() -> None:
    attendance = Attendance()
    missing = asyncio.create_task(attendance.missed(first_seconds=60, again_seconds=0.2))
    first = asyncio.create_task(attendance.attend())
    await settled(first)
    await gone(first)
    second = asyncio.create_task(attendance.attend())
    await settled(second)
    await settled(missing)
    assert not missing.done()
    await gone(second)
    assert await asyncio.wait_for(missing, 10) == "the driver died, and none came back within 0.2 s"


async def test_a_driver_that_is_dismissed_hears_why_and_is_waited_for() -> None:
    attendance = Attendance()
    attending = asyncio.create_task(attendance.attend())
    await settled(attending)
    assert not await attendance.left(within_seconds=0.01)
    attendance.dismiss("stopped by SIGTERM")
    attendance.dismiss("later")
    assert await attendance.left(within_seconds=10)
    assert await attending == "stopped by SIGTERM"
    assert await attendance.attend() == "stopped by SIGTERM"


async def test_without_a_driver_nobody_is_waited_for() -> None:
    assert await Attendance().left(within_seconds=60)
