"""One driver's asking: tells the meter of each question's begin and end, and decides when to stop asking."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from joulebench_api.contracts.meter import Begin, Finish
from joulebench_runner.driver.control import Control
from joulebench_runner.driver.outcome import finish_of
from joulebench_runner.driver.queries import ErrorLimit, Query, QueryBook
from joulebench_runner.errors import RunnerError

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

CURRENT: Final[ContextVar[Query | None]] = ContextVar("joulebench_query", default=None)
"""The question on whose behalf the current coroutine runs; its calls carry the id."""

FAILURE_SECONDS: Final = 1.0
"""How long a failed question waits before it counts as finished. A model server that dies fails its questions before
anybody can have noticed; if the run ends for that, they are asked again."""

_log: Final = logging.getLogger(__name__)


class Session:
    """State that the sample's setup, the hooks and the early stopping share."""

    def __init__(
        self,
        *,
        control: Control,
        book: QueryBook,
        limit: ErrorLimit,
        task_name: str,
        scored: bool,
        on_fatal: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_fatal` is called once when the meter cannot be told any more."""
        self.book = book
        self.limit = limit
        self.fatal: RunnerError | None = None
        self._control = control
        self._task_name = task_name
        self._scored = scored
        self._on_fatal = on_fatal
        self._closing = asyncio.Event()
        self._pending: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """The run is interrupted: what ends from now on has no answer, and will be asked again."""
        self._closing.set()

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    async def begin(
        self,
        query: Query,
        *,
        messages: list[dict[str, JsonValue]],
        reference: str | None,
        subject: str | None,
    ) -> None:
        """Tell the meter that a question is about to be asked, and mark the calls that follow as its own."""
        CURRENT.set(query)
        begin = Begin(
            query_id=query.query_id,
            attempt=query.attempt,
            task=self._task_name,
            record_id=query.record_id,
            epoch=query.epoch,
            subject=subject,
            messages=messages,
            reference=reference,
        )
        try:
            await self._control.begin(begin)
        except RunnerError as error:
            self.fail(error)
            raise

    def end(self, sample: "EvalSample") -> None:
        """A question has ended. The meter is told while the next one is asked: its acknowledgement waits for a disk."""
        if self.closing or self.fatal is not None:
            return
        query = self.book.query(str(sample.id), sample.epoch)
        finish = finish_of(sample, query, scored=self._scored)
        if finish.error is not None:
            self.limit.count()
            _log.warning("question %s (%s) failed: %s", query.query_id, query.record_id, finish.error)
        task = asyncio.get_running_loop().create_task(self._tell(finish))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _tell(self, finish: Finish) -> None:
        if finish.error is not None and await self._closes_soon():
            return
        try:
            await self._control.finish(finish)
        except RunnerError as error:
            self.fail(error)

    async def _closes_soon(self) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), FAILURE_SECONDS)
        return self.closing

    def fail(self, error: RunnerError) -> None:
        """Stop asking: the meter cannot be told any more."""
        if self.fatal is None:
            self.fatal = error
            self._on_fatal()

    def reason_to_skip(self, record_id: str, epoch: int) -> str | None:
        """Why a question is not asked, if it is not."""
        if self.book.is_finished(record_id, epoch):
            return "finished by an earlier attempt"
        if self.closing or self.fatal is not None:
            return "the run is ending"
        if self.limit.exceeded:
            return "too many questions failed"
        return None

    async def drain(self) -> None:
        """Wait until the meter has acknowledged everything that was said so far."""
        while self._pending:
            await asyncio.gather(*self._pending)
