"""Watches the processes of a local run, starts again what died, and winds the run down however it ends.

The order at the end is fixed: the driver ends, the model server is stopped (its shutdown is a stage with its own time),
the meter attributes and writes the results, the exporter goes last, because the meter reads its final ticks.

A driver, meter or exporter that was killed is started again, once each. The driver asks what is not finished; the meter
reads its journal, and the driver begins anew with it; the exporter's counter goes on, so one long tick spans the gap.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Literal

from joulebench_api.contracts.meter import DriverDone, Finalise, MeterStatus, Notice, Stage, StageEvent
from joulebench_runner.errors import BadInputError, ExitCode, RunnerError, StoppedError
from joulebench_runner.local.child import Child
from joulebench_runner.local.crew import Crew, called
from joulebench_runner.local.plan import LocalPlan
from joulebench_runner.meter.control_client import ControlClient, MeterGoneError

POLL_SECONDS = 0.5
EXPORT_SECONDS = 600.0
"""How long the meter may take to attribute and write; a million questions take half a minute."""
COPY_SECONDS = 6 * 3600.0
"""How much longer it may take to copy them to a store; it gives up sooner by itself if nothing moves."""
METER_START_SECONDS = 60.0
_CAUSES: Final = ("server", "meter", "exporter", "driver")
"""Of several that have ended the first is the cause: a driver ends soon after its meter, a question fails without its
server."""
_METER_DEATH_SECONDS: Final = 2.0
"""A driver that misses its meter may be noticed before the meter's end is."""

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

    def __init__(
        self,
        plan: LocalPlan,
        *,
        on_status: Callable[[MeterStatus], None],
        on_note: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._plan = plan
        self._on_status = on_status
        self._on_note = on_note
        self._status: MeterStatus | None = None
        self._crew = Crew(plan.run_dir)
        self._interrupted = asyncio.Event()
        self._interruption = Ending("interrupted", "interrupted by the user")
        self._control = ControlClient(plan.meter_settings.control_socket)
        self._untold: list[Notice] = []
        """What is to stand in the journal once there is a meter to write it."""

    async def run(self) -> ExitCode:
        """Run to the end. Nothing that was started is left when this returns or raises."""
        try:
            await self._start_all()
            async with self._polling():
                ending = await self._until_the_end()
                await self._crew.stop("driver")
            return await self._wind_down(ending)
        except RunnerError:
            if self._crew.was_killed:
                raise StoppedError("stopped at once; results were not written") from None
            raise
        finally:
            await asyncio.shield(self._crew.stop_all())
            await self._control.close()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """End early: unfinished questions are dropped, finished ones are kept and reported."""
        if number != signal.SIGINT:
            self._interruption = Ending("interrupted", f"stopped by {number.name}")
        self._interrupted.set()

    def kill(self) -> None:
        """End at once, without results."""
        self._crew.kill()

    async def _start_all(self) -> None:
        # All at once: the server loads and the meter starts while the driver imports its libraries.
        plan = self._plan
        for command in (plan.driver, plan.server, plan.meter, plan.exporter):
            if command is not None:
                await self._crew.start(command)

    async def _until_the_end(self) -> Ending:
        """Keep the processes going until something ends the asking."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._plan.run_seconds
        while True:
            ended = await self._next_end(deadline - loop.time())
            if isinstance(ended, Ending):
                return ended
            if not self._crew.may_restart(ended):
                return self._ending_of(ended)
            await self._restart(ended)

    async def _next_end(self, seconds: float) -> Child | Ending:
        """Wait for a process to end, or for what ends the run from outside."""
        watched = {asyncio.create_task(child.wait()): child for child in self._crew}
        interrupted = asyncio.create_task(self._interrupted.wait())
        tasks = {*watched, interrupted}
        done, pending = await asyncio.wait(tasks, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if interrupted in done:
            return self._interruption
        if not done:
            return Ending(
                "failed",
                f"the run took longer than spec.timeouts.run ({self._plan.run_seconds:g} s)",
                "raise spec.timeouts.run, or ask fewer questions with spec.task.limit",
            )
        ended = [watched[task] for task in done]
        return await self._cause(min(ended, key=lambda child: _CAUSES.index(child.name)))

    async def _cause(self, ended: Child) -> Child:
        """The process whose end is behind another's: a driver without its meter."""
        if ended.name == "driver" and ended.exit_code == ExitCode.INFRASTRUCTURE:
            meter = self._crew["meter"]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(meter.wait(), _METER_DEATH_SECONDS)
                return meter
        return ended

    async def _restart(self, ended: Child) -> None:
        """Start a process again, and with a meter the driver, which cannot go on with another one."""
        words = f"{called(ended.name)} {ended.ending()} and was started again"
        self._crew.count_restart(ended.name)
        self._on_note(words)
        self._untold.append(Notice(topic="restart", subject=ended.name, message=words))
        if ended.name == "exporter" and self._plan.exporter is not None:
            await self._crew.start(self._plan.exporter)
            return
        if ended.name == "meter":
            self._crew["driver"].signal(signal.SIGKILL)
            await self._crew["driver"].wait()
            await self._start_meter()
        else:
            await self._leave_stage()
        if self._plan.driver_settings.outcome_file is not None:
            self._plan.driver_settings.outcome_file.unlink(missing_ok=True)
        await self._crew.start(self._plan.driver)

    async def _start_meter(self) -> None:
        self._plan.meter_settings.ready_file.unlink(missing_ok=True)
        await self._crew.start(self._plan.meter)

    async def _leave_stage(self) -> None:
        """What a dead driver was at is over: the time until the next one asks must not count as measured."""
        with contextlib.suppress(RunnerError):
            stage = (await self._control.status()).stage
            if stage is not Stage.STARTUP:
                await self._control.stage(StageEvent(stage=stage, event="end"))
                await self._control.stage(StageEvent(stage=Stage.STARTUP, event="start"))

    def _ending_of(self, child: Child) -> Ending:
        if child.name == "driver":
            return self._driver_ending(child)
        if child.name == "exporter" and child.exit_code == ExitCode.BAD_INPUT:
            return _refused(child)
        return Ending("failed", self._crew.died(child))

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
        return self._crew.died(driver), None

    def _server_words(self) -> str:
        """The end of the log of a server that we started and that never got ready."""
        server = self._crew.get("server")
        was_ready = self._status is not None and any(one.state == "ready" for one in self._status.servers)
        if server is None or was_ready:
            return ""
        return f"; the last lines of {server.log}:\n{server.log_tail()}"

    async def _wind_down(self, ending: Ending) -> ExitCode:
        if ending.bad_input:
            raise BadInputError(ending.message or "the input is wrong", remedy=ending.remedy)
        code = await self._finalised(ending)
        if code is None:
            # It was killed while it summed up: all that counts is in the journal.
            await self._start_meter()
            code = await self._finalised(ending)
        if code is None or code not in {int(known) for known in ExitCode}:
            raise RunnerError(self._crew.died(self._crew["meter"]))
        return ExitCode(code)

    async def _finalised(self, ending: Ending) -> int | None:
        """The meter's exit code once it has written the results; None if it was killed and may be started again."""
        meter = self._crew["meter"]
        if await self._meter_answers():
            seconds = EXPORT_SECONDS + (0.0 if self._plan.meter_settings.store is None else COPY_SECONDS)
            try:
                await self._shut_server_down()
                await self._tell()
                finalise = Finalise(outcome=ending.outcome, message=ending.message, remedy=ending.remedy)
                await self._control.finalise(finalise)
            except MeterGoneError:
                seconds = _METER_DEATH_SECONDS
            try:
                async with self._polling():
                    code = await asyncio.wait_for(meter.wait(), seconds)
            except TimeoutError:
                raise RunnerError(f"the meter did not write the results within {seconds:g} s") from None
            if not meter.was_killed:
                self._raise_meter_words()
                return code
        if not self._crew.may_restart(meter):
            self._raise_meter_words()
            raise RunnerError(ending.message or self._crew.died(meter), remedy=ending.remedy)
        self._crew.count_restart("meter")
        words = f"the meter {meter.ending()} and was started again to write the results"
        self._on_note(words)
        self._untold.append(Notice(topic="restart", subject="meter", message=words))
        return None

    def _raise_meter_words(self) -> None:
        """Raise RunnerError with what a meter that failed said of it, if it did."""
        path = self._plan.meter_settings.outcome_file
        if path is not None and path.exists():
            done = DriverDone.model_validate_json(path.read_bytes())
            raise RunnerError(done.message or "the meter failed", remedy=done.remedy)

    async def _meter_answers(self) -> bool:
        """Wait until the meter listens; False if it ends first. Raises RunnerError if it takes too long."""
        meter = self._crew["meter"]
        try:
            async with asyncio.timeout(METER_START_SECONDS):
                while meter.exit_code is None:
                    with contextlib.suppress(MeterGoneError):
                        await self._control.status()
                        return True
                    await asyncio.sleep(POLL_SECONDS / 10)
        except TimeoutError:
            raise RunnerError(f"the meter did not get ready within {METER_START_SECONDS:g} s") from None
        return False

    async def _shut_server_down(self) -> None:
        server = self._crew.get("server")
        if server is None or server.exit_code is not None:
            return
        await self._control.stage(StageEvent(stage=Stage.SHUTDOWN, event="start"))
        await server.stop()
        await self._control.stage(StageEvent(stage=Stage.SHUTDOWN, event="end"))

    async def _tell(self) -> None:
        """Have the meter write down what happened."""
        while self._untold:
            await self._control.note(self._untold[0])
            self._untold.pop(0)

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
                await self._tell()
                self._status = await self._control.status()
                self._on_status(self._status)
            await asyncio.sleep(POLL_SECONDS)


def _refused(exporter: Child) -> Ending:
    """The exporter's own two lines about a sensor it cannot use: what is wrong, and the remedy."""
    message, _, remedy = exporter.log_tail(2).partition("\n")
    return Ending("failed", message.partition(": ")[2], remedy, bad_input=True)
