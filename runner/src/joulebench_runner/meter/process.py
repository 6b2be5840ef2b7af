"""The meter's process once it has its settings: from the journal's opening to written results."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from joulebench_api.contracts.meter import DriverDone, Finalise
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import ExitCode, RunnerError, StoppedError, StoreError
from joulebench_runner.kept_settings import keep_settings
from joulebench_runner.meter.app import Meter
from joulebench_runner.verdict import EXIT_CODES, Outcome, verdict

if TYPE_CHECKING:  # its many models take time to build, which the start has not
    from joulebench_api.contracts.summary import Summary


def run_meter(settings: MeterSettings, *, settings_file: Path | None) -> ExitCode:
    """Run the meter; its exit code is the run's verdict. `settings_file`: where the settings lie, if in a file."""
    try:
        _prepare(settings, settings_file=settings_file)
        return asyncio.run(_run(settings))
    except RunnerError as error:
        return failed(error, outcome_file=settings.outcome_file, termination_file=settings.termination_file)


def _prepare(settings: MeterSettings, *, settings_file: Path | None) -> None:
    """What a pod's meter does before it listens. SIGTERM ends it at once meanwhile."""
    if settings.bring_back:
        from joulebench_runner.meter.bringing import bring_run_back  # noqa: PLC0415 - a local run has done so before

        # Process 1 of a container does not even get signals that it has no handler for.
        signal.signal(signal.SIGTERM, _stop_at_once)
        bring_run_back(settings, environ=os.environ)
    if settings.shard is None:
        keep_settings(settings, settings_file=settings_file, name="meter.json")


def _stop_at_once(number: int, _frame: object) -> None:
    raise StoppedError(f"stopped by {signal.Signals(number).name} before it began")


def failed(error: RunnerError, *, outcome_file: Path | None, termination_file: Path | None) -> ExitCode:
    """Say why, in the log and to whoever reads the outcome file and the termination message; the exit code."""
    _leave_words(error, outcome_file=outcome_file, termination_file=termination_file)
    # The log may lie on the disk that is full.
    with contextlib.suppress(OSError):
        print(f"joulebench meter: {error.message}", file=sys.stderr, flush=True)  # noqa: T201 - a process's last words
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr, flush=True)  # noqa: T201
    return error.exit_code


def _leave_words(error: RunnerError, *, outcome_file: Path | None, termination_file: Path | None) -> None:
    outcome: Outcome = "interrupted" if error.exit_code is ExitCode.INTERRUPTED else "failed"
    if outcome_file is not None:
        words = DriverDone(outcome=outcome, message=error.message, remedy=error.remedy)
        outcome_file.write_text(words.model_dump_json() + "\n")
    if termination_file is not None:
        from joulebench_runner.meter import termination  # noqa: PLC0415 - its models take time to build

        termination.write(termination.failure(error, state=outcome), termination_file)


async def _run(settings: MeterSettings) -> ExitCode:
    meter = Meter(settings, environ=os.environ)
    try:
        _interrupt_on_signals(meter)
        await meter.start()
        ending = await meter.ended()
        await meter.stop_measuring()
        if settings.shard is not None:
            return await _end_of_shard(meter, ending)
        summary = await _stored(meter, await asyncio.to_thread(_export, settings, ending))
        code = verdict(ending.outcome, energy=settings.energy, summary=summary)
        _terminate(settings, summary)
    finally:
        await meter.close()
    return ExitCode.INFRASTRUCTURE if meter.driver_missing else code


async def _end_of_shard(meter: Meter, ending: Finalise) -> ExitCode:
    """Leave the journal to whoever unites those of all shards, and say how it went.

    A journal that cannot be copied may be gone with this pod: another goes on with what the store has.
    """
    settings = meter.settings
    try:
        await meter.copy_rest()
    except StoreError as error:
        failed(error, outcome_file=settings.outcome_file, termination_file=settings.termination_file)
        return ExitCode.INFRASTRUCTURE
    if settings.termination_file is not None:
        from joulebench_runner.meter import termination  # noqa: PLC0415 - its models take time to build

        termination.write(termination.of_shard(ending, meter.state.progress()), settings.termination_file)
    return ExitCode.INFRASTRUCTURE if meter.driver_missing else EXIT_CODES[ending.outcome]


def _terminate(settings: MeterSettings, summary: "Summary") -> None:
    """Write the termination message, if one is wanted."""
    if settings.termination_file is None:
        return
    from joulebench_runner.meter import termination  # noqa: PLC0415 - its models take time to build

    message = termination.message_of(summary, energy=settings.energy, folder=settings.run_dir)
    termination.write(message, settings.termination_file)


async def _stored(meter: Meter, summary: "Summary") -> "Summary":
    """Copy the run to its store, if it has one. Where that fails, the local summary says so."""
    from joulebench_runner.results.stored import with_store_problem  # noqa: PLC0415 - see _export

    try:
        await meter.copy_rest()
    except StoreError as error:
        print(f"joulebench meter: {error.message}", file=sys.stderr)  # noqa: T201 - for the log
        return await asyncio.to_thread(with_store_problem, summary, error, folder=meter.settings.run_dir)
    return summary


def _export(settings: MeterSettings, ending: Finalise) -> "Summary":
    # Imported when it is needed: attribution and its libraries would slow the start.
    from joulebench_runner.results import export  # noqa: PLC0415

    return export(settings, outcome=ending.outcome, message=ending.message, remedy=ending.remedy)


def _interrupt_on_signals(meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, meter.interrupt, f"stopped by {number.name}")
