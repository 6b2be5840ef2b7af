"""Starts the processes of a local run, watches them, and winds the run down however it ends.

The order at the end is fixed: the driver ends, the model server is stopped (its shutdown is a stage with its own time),
the meter attributes and writes the results, the exporter goes last, because the meter reads its final ticks.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from joulebench_api.contracts.meter import DriverDone, Finalise, MeterStatus, Stage, StageEvent
from joulebench_runner.errors import BadInputError, ExitCode, RunnerError
from joulebench_runner.local.child import Child
from joulebench_runner.local.folder import LOGS
from joulebench_runner.local.plan import Command, LocalPlan
from joulebench_runner.meter.control_client import ControlClient

POLL_SECONDS = 0.5
EXPORT_SECONDS = 600.0
"""How long the meter may take to attribute and write; a million questions take half a minute."""
COPY_SECONDS = 6 * 3600.0
"""How much longer it may take to copy them to a store; it gives up sooner by itself if nothing moves."""

OutcomeName = Literal["completed", "failed", "error-limit", "interrupted"]


@dataclass(frozen=True)
class Ending:
    """Why the asking stopped."""

    outcome: OutcomeName
    message: str | None = None
    remedy: str | None = None
    bad_input: bool = False


class Supervisor:
    """One local run. `run()` returns the exit code; `interrupt()` asks it to end early and keep what it has."""

    def __init__(self, plan: LocalPlan, *, on_status: Callable[[MeterStatus], None]) -> None:
        self._plan = plan
        self._on_status = on_status
        self._status: MeterStatus | None = None
        self._children: dict[str, Child] = {}
        self._interrupted = asyncio.Event()
        self._control = ControlClient(plan.meter_settings.control_socket)

    async def run(self) -> ExitCode:
        """Run to the end. Nothing that was started is left when this returns or raises."""
        try:
            await self._start_all()
            async with self._polling():
                ending = await self._first_ending()
                await self._stop("driver")
                return await self._wind_down(ending)
        finally:
            await asyncio.shield(self._stop_all())
            await self._control.close()

    def interrupt(self) -> None:
        """End early: unfinished questions are dropped, finished ones are kept and reported."""
        self._interrupted.set()

    def kill(self) -> None:
        """End at once, without results."""
        for child in self._children.values():
            child.signal(signal.SIGKILL)

    async def _start_all(self) -> None:
        # All at once: the server loads and the meter starts while the driver imports its libraries.
        plan = self._plan
        for command in (plan.driver, plan.server, plan.meter, plan.exporter):
            if command is not None:
                await self._start(command)

    async def _start(self, command: Command) -> None:
        log = self._plan.run_dir / LOGS / f"{command.name}.log"
        self._children[command.name] = await Child.start(command.name, command.argv, log=log, env=command.env)

    async def _first_ending(self) -> Ending:
        """Wait for whatever ends the asking first."""
        watched = {asyncio.create_task(child.wait()): child for child in self._children.values()}
        interrupted = asyncio.create_task(self._interrupted.wait())
        tasks = {*watched, interrupted}
        done, pending = await asyncio.wait(tasks, timeout=self._plan.run_seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if interrupted in done:
            return Ending("interrupted", "interrupted by the user")
        if not done:
            return Ending(
                "failed",
                f"the run took longer than spec.timeouts.run ({self._plan.run_seconds:g} s)",
                "raise spec.timeouts.run, or ask fewer questions with spec.task.limit",
            )
        # The server's death ends the driver soon after; it is the cause when both have ended.
        ended = sorted((watched[task] for task in done if task in watched), key=lambda child: child.name == "driver")
        return self._ending_of(ended[0])

    def _ending_of(self, child: Child) -> Ending:
        if child.name == "driver":
            return self._driver_ending(child)
        if child.name == "exporter" and child.exit_code == ExitCode.BAD_INPUT:
            return _refused(child)
        return Ending("failed", _died(child))

    def _driver_ending(self, driver: Child) -> Ending:
        match driver.exit_code:
            case ExitCode.DONE:
                return Ending("completed")
            case ExitCode.REQUIREMENT_NOT_MET:
                outcome: OutcomeName = "error-limit"
            case ExitCode.INTERRUPTED:
                outcome = "interrupted"
            case _:
                outcome = "failed"
        message, remedy = self._driver_words(driver)
        return Ending(outcome, message, remedy, bad_input=driver.exit_code == ExitCode.BAD_INPUT)

    def _driver_words(self, driver: Child) -> tuple[str, str | None]:
        """What the driver said of its end, or the end of its log if it could not say anything."""
        path = self._plan.driver_settings.outcome_file
        if path is not None and path.exists():
            words = json.loads(path.read_bytes())
            message = words["message"] or f"the driver {driver.ending()}"
            return message + self._server_words(), words.get("remedy")
        return _died(driver), None

    def _server_words(self) -> str:
        """The end of the log of a server that we started and that never got ready."""
        server = self._children.get("server")
        was_ready = self._status is not None and any(one.state == "ready" for one in self._status.servers)
        if server is None or was_ready:
            return ""
        return f"; the last lines of {server.log}:\n{server.log_tail()}"

    async def _wind_down(self, ending: Ending) -> ExitCode:
        if ending.bad_input:
            raise BadInputError(ending.message or "the input is wrong", remedy=ending.remedy)
        meter = self._children["meter"]
        if meter.exit_code is not None:
            message, remedy = self._meter_words() or (ending.message or _died(meter), ending.remedy)
            raise RunnerError(message, remedy=remedy)
        await self._shut_server_down()
        await self._control.finalise(Finalise(outcome=ending.outcome, message=ending.message, remedy=ending.remedy))
        limit_seconds = EXPORT_SECONDS + (0.0 if self._plan.meter_settings.store is None else COPY_SECONDS)
        try:
            code = await asyncio.wait_for(meter.wait(), limit_seconds)
        except TimeoutError:
            raise RunnerError(f"the meter did not write the results within {limit_seconds:g} s") from None
        if (words := self._meter_words()) is not None:
            raise RunnerError(words[0], remedy=words[1])
        if code not in {int(known) for known in ExitCode}:
            raise RunnerError(_died(meter))
        return ExitCode(code)

    def _meter_words(self) -> tuple[str, str | None] | None:
        """What a meter that failed said of it."""
        path = self._plan.meter_settings.outcome_file
        if path is None or not path.exists():
            return None
        done = DriverDone.model_validate_json(path.read_bytes())
        return done.message or "the meter failed", done.remedy

    async def _shut_server_down(self) -> None:
        server = self._children.get("server")
        if server is None:
            return
        await self._control.stage(StageEvent(stage=Stage.SHUTDOWN, event="start"))
        await server.stop()
        await self._control.stage(StageEvent(stage=Stage.SHUTDOWN, event="end"))

    async def _stop(self, name: str) -> None:
        if name in self._children:
            await self._children[name].stop()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._children.values()))

    @contextlib.asynccontextmanager
    async def _polling(self) -> AsyncIterator[None]:
        """Hand the meter's status on while the questions are asked."""
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _poll(self) -> None:
        while True:
            # Until the meter listens, and when it has died, there is no status; its end is noticed elsewhere.
            with contextlib.suppress(RunnerError, OSError):
                self._status = await self._control.status()
                self._on_status(self._status)
            await asyncio.sleep(POLL_SECONDS)


def _refused(exporter: Child) -> Ending:
    """The exporter's own two lines about a sensor it cannot use: what is wrong, and the remedy."""
    message, _, remedy = exporter.log_tail(2).partition("\n")
    return Ending("failed", message.partition(": ")[2], remedy, bad_input=True)


def _died(child: Child) -> str:
    names = {"server": "the model server", "meter": "the meter", "exporter": "the energy exporter"}
    words = f"{names.get(child.name, f'the {child.name}')} {child.ending()}"
    tail = child.log_tail()
    return f"{words}; the last lines of {child.log}:\n{tail}" if tail else f"{words}, without a word in its log"
