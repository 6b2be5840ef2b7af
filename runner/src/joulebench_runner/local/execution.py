"""Runs a plan in this process's event loop, with Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable

from joulebench_api.contracts.meter import MeterStatus
from joulebench_runner.errors import ExitCode
from joulebench_runner.local.folder import DRIVER_SETTINGS, LOGS, METER_SETTINGS, SETTINGS
from joulebench_runner.local.plan import LocalPlan
from joulebench_runner.local.supervisor import Supervisor


def execute(plan: LocalPlan, *, on_status: Callable[[MeterStatus], None]) -> ExitCode:
    """Start everything, wait for the end, leave nothing running. Raises RunnerError if there is no result."""
    _write_settings(plan)
    return asyncio.run(_execute(plan, on_status))


def _write_settings(plan: LocalPlan) -> None:
    (plan.run_dir / LOGS).mkdir()
    folder = plan.run_dir / SETTINGS
    folder.mkdir()
    plan.meter_settings.write(folder / METER_SETTINGS)
    plan.driver_settings.write(folder / DRIVER_SETTINGS)
    for path, content in plan.files.items():
        path.write_bytes(content)


async def _execute(plan: LocalPlan, on_status: Callable[[MeterStatus], None]) -> ExitCode:
    supervisor = Supervisor(plan, on_status=on_status)
    loop = asyncio.get_running_loop()
    presses = 0

    def pressed() -> None:
        nonlocal presses
        presses += 1
        # The first time we end in order; who presses again wants out now.
        supervisor.interrupt() if presses == 1 else supervisor.kill()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pressed)
    try:
        return await supervisor.run()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
