"""Runs a plan in this process's event loop, with Ctrl-C."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from functools import partial

from joulebench_api.contracts.meter import MeterStatus
from joulebench_runner.errors import ExitCode
from joulebench_runner.local.folder import DRIVER_SETTINGS, LOGS, METER_SETTINGS, PROCESSES_FILE, RUN_FILE, SETTINGS
from joulebench_runner.local.plan import LocalPlan
from joulebench_runner.local.supervisor import Supervisor


def execute(
    plan: LocalPlan,
    *,
    on_status: Callable[[MeterStatus], None],
    on_note: Callable[[str], None] = lambda _words: None,
) -> ExitCode:
    """Start everything, wait for the end, leave nothing running. Raises RunnerError if there is no result.

    `on_note` is told what the user should know at once, such as a process that had to be started again.
    """
    _write_settings(plan)
    try:
        return asyncio.run(_execute(plan, on_status, on_note))
    finally:
        with contextlib.suppress(OSError):
            (plan.run_dir / SETTINGS / PROCESSES_FILE).unlink(missing_ok=True)


def _write_settings(plan: LocalPlan) -> None:
    (plan.run_dir / LOGS).mkdir(parents=True, exist_ok=True)
    folder = plan.run_dir / SETTINGS
    folder.mkdir(exist_ok=True)
    plan.run_file.write(folder / RUN_FILE)
    plan.meter_settings.write(folder / METER_SETTINGS)
    plan.driver_settings.write(folder / DRIVER_SETTINGS)


async def _execute(
    plan: LocalPlan, on_status: Callable[[MeterStatus], None], on_note: Callable[[str], None]
) -> ExitCode:
    supervisor = Supervisor(plan, on_status=on_status, on_note=on_note)
    loop = asyncio.get_running_loop()
    presses = 0

    def pressed(number: signal.Signals) -> None:
        nonlocal presses
        presses += 1
        # The first time we end in order; who presses again wants out now.
        supervisor.interrupt(number) if presses == 1 else supervisor.kill()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, partial(pressed, number))
    try:
        return await supervisor.run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
