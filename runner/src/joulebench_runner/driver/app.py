"""The driver's course: get ready, baseline, warm-up, run, and say how it ended."""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from joulebench_api.contracts.meter import DriverDone, Plan, Stage, StageEvent
from joulebench_runner.config import DriverSettings
from joulebench_runner.driver.calls import Caller, MeteredProbe
from joulebench_runner.driver.control import Control, MeterGoneError, connect
from joulebench_runner.driver.generation import merged
from joulebench_runner.driver.loaded import LoadedTask
from joulebench_runner.driver.native_task import load_native
from joulebench_runner.driver.queries import ErrorLimit, QueryBook, own_part
from joulebench_runner.driver.session import Session
from joulebench_runner.errors import ExitCode, RunnerError
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.registry import InspectTask, find

_FAREWELL_SECONDS: Final = 10.0
"""How long a driver that failed early waits for a meter to say so to."""
_WATCH_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.02

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")


class MeterMissingError(RunnerError):
    """The meter did not come up, or died."""

    exit_code = ExitCode.INFRASTRUCTURE


class Driver:
    """One run of the driver."""

    def __init__(self, settings: DriverSettings, control: Control) -> None:
        self._settings = settings
        self._control = control
        self._session: Session | None = None
        self._asking: asyncio.Task[None] | None = None

    async def attend(self) -> str:
        """Let the meter know that we are there, for as long as this is not cancelled.

        Returns, with the reason, when the meter wants the run to end. Raises RunnerError where there is no meter.
        """
        await _proxy_url(self._settings)
        return await self._control.attend()

    async def run(self) -> DriverDone:
        """Ask everything that is left. Raises RunnerError for whatever ends the run early."""
        imports = asyncio.create_task(asyncio.to_thread(_import_inspect))
        task = find(self._settings.task.name)
        proxy_url = await _proxy_url(self._settings)
        loaded = await self._load(task, proxy_url, imports)
        return await self._watched(self._ask(loaded, proxy_url))

    async def _load(self, task: TaskEntry | InspectTask, proxy_url: str, imports: asyncio.Task[None]) -> LoadedTask:
        """Load the task while the server gets ready, unless the loader needs the server."""
        ready = asyncio.create_task(self._control.ready())
        try:
            if isinstance(task, InspectTask):
                await imports
                loaded = await _load_inspect(task, self._settings)
            else:
                if task.hub is not None:
                    # The hub's library shares modules with what the other thread imports.
                    await imports
                if task.needs_server:
                    await ready
                loaded = await load_native(task, self._settings, probe=MeteredProbe(self._caller(proxy_url)))
            await ready
            await imports
        finally:
            ready.cancel()
        return loaded

    def _caller(self, proxy_url: str, loaded: LoadedTask | None = None) -> Caller:
        return Caller(
            proxy_url=proxy_url,
            options=merged(self._settings.generation, task={}) if loaded is None else loaded.options,
            timeout_seconds=self._settings.query_timeout_seconds,
        )

    async def _watched(self, asking: Awaitable[DriverDone]) -> DriverDone:
        """Do the work, but end soon when the meter dies while nothing is said to it."""
        work = asyncio.ensure_future(asking)
        watch = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if work not in done:
                watch.result()  # raises: it ends in no other way
            return work.result()
        finally:
            watch.cancel()
            if not work.done():
                if self._session is not None:
                    self._session.close()
                await _cancelled(work)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            await self._control.status()

    async def _ask(self, loaded: LoadedTask, proxy_url: str) -> DriverDone:
        resolved = loaded.resolved(epochs=self._settings.epochs)
        book = QueryBook(resolved, own_part(loaded.record_ids, self._settings.shard))
        book.apply(await self._control.plan(Plan(task=resolved, query_ids=book.query_ids)))
        await self._control.stage(StageEvent(stage=Stage.STARTUP, event="end"))
        if not any(book.to_ask()):
            return DriverDone(outcome="completed", message="every question was answered before")
        await self._baseline()
        await self._warm_up(loaded, proxy_url)
        session = await self._open_session(loaded, book)
        async with self._stage(Stage.RUN):
            await self._evaluate(loaded, session, proxy_url)
        return _done(session)

    async def _open_session(self, loaded: LoadedTask, book: QueryBook) -> Session:
        status = await self._control.status()
        self._session = Session(
            control=self._control,
            book=book,
            limit=ErrorLimit(self._settings.max_errors, questions=len(book.query_ids), errors=status.progress.errors),
            task_name=loaded.name,
            scored=loaded.scored,
            on_fatal=self._stop_asking,
        )
        return self._session

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _evaluate(self, loaded: LoadedTask, session: Session, proxy_url: str) -> None:
        from joulebench_runner.driver.evaluation import evaluate  # noqa: PLC0415  # was imported in the background

        aliases = [server.alias for server in (await self._control.status()).servers]
        self._asking = asyncio.create_task(
            evaluate(loaded, session=session, settings=self._settings, proxy_url=proxy_url, aliases=aliases)
        )
        try:
            await self._asking
        except asyncio.CancelledError:
            if session.fatal is None:
                raise
        finally:
            if not self._asking.done():
                session.close()
                await _cancelled(self._asking)
            await session.drain()
        if session.fatal is not None:
            raise session.fatal

    async def _baseline(self) -> None:
        if self._settings.baseline_seconds > 0:
            async with self._stage(Stage.BASELINE):
                await asyncio.sleep(self._settings.baseline_seconds)

    async def _warm_up(self, loaded: LoadedTask, proxy_url: str) -> None:
        prompts = loaded.warmup_prompts
        if not prompts:
            return
        async with self._stage(Stage.WARMUP):
            errors = await self._caller(proxy_url, loaded).warm_up(prompts, concurrency=self._settings.concurrency)
        for error in errors:
            _log.warning("a warm-up call failed: %s", error)

    @contextlib.asynccontextmanager
    async def _stage(self, stage: Stage) -> AsyncIterator[None]:
        await self._control.stage(StageEvent(stage=stage, event="start"))
        try:
            yield
        finally:
            with contextlib.suppress(MeterGoneError):
                await self._control.stage(StageEvent(stage=stage, event="end"))


def _import_inspect() -> None:
    import joulebench_runner.driver.evaluation  # noqa: F401, PLC0415  # seconds; so in a thread, while others start


async def _load_inspect(task: InspectTask, settings: DriverSettings) -> LoadedTask:
    from joulebench_runner.driver.inspect_task import load_inspect  # noqa: PLC0415  # needs inspect-ai

    return load_inspect(task, settings)


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    """Cancel and wait for the end, whatever it is."""
    task.cancel()
    await asyncio.wait({task})


def _done(session: Session) -> DriverDone:
    if session.limit.exceeded:
        return DriverDone(
            outcome="error-limit",
            message=str(session.limit),
            remedy="See the column error of queries.parquet; raise spec.maxErrors to go on regardless.",
        )
    return DriverDone(outcome="completed")


async def _proxy_url(settings: DriverSettings, *, within_seconds: float | None = None) -> str:
    """The meter's address, once its ready file is there. Raises MeterMissingError if it does not come, or cannot."""
    seconds = settings.meter_start_seconds if within_seconds is None else within_seconds
    try:
        async with asyncio.timeout(seconds):
            while True:
                # An empty or half-written file is one that is still being written.
                with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                    ready = json.loads(settings.ready_file.read_bytes())
                    return str(ready["proxy_url"]).rstrip("/")
                _refuse_failed_meter(settings.meter_outcome_file)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise MeterMissingError(f"the meter did not get ready within {seconds:g} s") from None


def _refuse_failed_meter(outcome_file: Path | None) -> None:
    """Raise MeterMissingError if the meter has left its last words."""
    if outcome_file is None or not outcome_file.exists():
        return
    with contextlib.suppress(ValidationError):  # still being written
        words = DriverDone.model_validate_json(outcome_file.read_bytes())
        raise MeterMissingError(words.message or "the meter failed", remedy=words.remedy)


class _Stop:
    """Cancels the work, once, and knows why."""

    def __init__(self, work: "asyncio.Task[DriverDone]") -> None:
        self.reason = "interrupted"
        self._work = work

    def __call__(self, reason: str) -> None:
        if not self._work.cancelling():
            self.reason = reason
            self._work.cancel()


async def drive(settings: DriverSettings) -> ExitCode:
    """Run the driver until it ends by itself, by SIGTERM or SIGINT, or by the meter's wish; tell the meter how."""
    control = connect(settings.control_socket)
    driver = Driver(settings, control)
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(driver.run())
    stop = _Stop(work)
    attending = asyncio.create_task(_attend(driver, stop))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, "interrupted")
    try:
        done, code = await _outcome(work, stop)
        await _report(settings, control, done, code)
    finally:
        await _cancelled(attending)
        await control.close()
    return code


async def _attend(driver: Driver, stop: Callable[[str], None]) -> None:
    # That there is no meter, or that it died, is noticed by whoever needs it.
    with contextlib.suppress(RunnerError):
        stop(await driver.attend())


async def _outcome(work: "asyncio.Task[DriverDone]", stop: _Stop) -> tuple[DriverDone, ExitCode]:
    try:
        done = await work
    except asyncio.CancelledError:
        return DriverDone(outcome="interrupted", message=stop.reason), ExitCode.INTERRUPTED
    except MeterGoneError as error:
        return DriverDone(outcome="failed", message=error.message), ExitCode.INFRASTRUCTURE
    except RunnerError as error:
        return DriverDone(outcome="failed", message=error.message, remedy=error.remedy), error.exit_code
    except Exception as error:  # noqa: BLE001  # a defect; it is logged, told to the meter, and ends the process
        _log.exception("the driver failed")
        return DriverDone(outcome="failed", message=f"the driver failed: {error!r}"), ExitCode.FAILED
    return done, ExitCode.REQUIREMENT_NOT_MET if done.outcome == "error-limit" else ExitCode.DONE


async def _report(settings: DriverSettings, control: Control, done: DriverDone, code: ExitCode) -> None:
    """Tell the meter, if there is one, and whoever reads the outcome file."""
    if done.message is not None:
        _log.warning("%s: %s", done.outcome, done.message)
    if settings.outcome_file is not None:
        settings.outcome_file.write_text(done.model_dump_json() + "\n")
    if code is ExitCode.INFRASTRUCTURE:
        return
    with contextlib.suppress(RunnerError):
        await _proxy_url(settings, within_seconds=_FAREWELL_SECONDS)
        await control.driver_done(done)
