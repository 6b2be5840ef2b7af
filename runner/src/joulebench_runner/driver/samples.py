"""Where inspect-ai meets a session: what happens before, between and after the samples of a task."""

import logging
from typing import TYPE_CHECKING, Any, Final

from inspect_ai.hooks import Hooks, SampleEnd, SampleScoring, SampleStart, hooks
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import EarlyStop, EarlyStopping
from pydantic import JsonValue

from joulebench_runner.config import GenerationSettings
from joulebench_runner.driver.generation import system_messages
from joulebench_runner.driver.session import CURRENT, Session
from joulebench_runner.errors import RunnerError

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalSpec
    from inspect_ai.scorer import SampleScore

_log: Final = logging.getLogger(__name__)


def begin_question(session: Session, options: GenerationSettings) -> Solver:
    """A solver that comes before the task's own: tells the meter that the question is about to be asked."""

    @solver(name="joulebench_begin")
    def begin() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001  # a solver's signature
            messages = system_messages(options)
            messages += [{"role": message.role, "content": message.text} for message in state.messages]
            await session.begin(
                session.book.query(str(state.sample_id), state.epoch),
                messages=messages,
                reference=state.target.text or None,
                subject=_subject(state.metadata),
            )
            return state

        return solve

    return begin()


def _subject(metadata: dict[str, Any]) -> str | None:
    value: JsonValue = metadata.get("subject") or metadata.get("category")
    return value if isinstance(value, str) else None


def register_hooks(session: Session) -> None:
    """Have inspect-ai tell the session of each sample's end. Once a process: the registry is global."""
    queries: dict[str, tuple[str, int]] = {}

    @hooks(name="joulebench", description="Tells the meter when a question is answered.")
    class _QuestionHooks(Hooks):
        async def on_sample_start(self, data: SampleStart) -> None:
            queries[data.sample_id] = (str(data.summary.id), data.summary.epoch)

        async def on_sample_scoring(self, data: SampleScoring) -> None:
            # Scorers run outside the solvers' task, so what the first solver set is not seen there.
            if data.sample_id in queries:
                CURRENT.set(session.book.query(*queries.pop(data.sample_id)))

        async def on_sample_end(self, data: SampleEnd) -> None:
            try:
                session.end(data.sample)
            except Exception as error:
                # inspect-ai would log and go on; a question without an end must end the run.
                session.fail(RunnerError(f"the end of question {data.sample.id} could not be told: {error!r}"))
                raise


class AskWhatIsLeft(EarlyStopping):
    """Skips questions that are finished, and all that are left once the run is to end."""

    def __init__(self, session: Session, inner: EarlyStopping | None) -> None:
        """`inner`: the task's own early stopping."""
        self._session = session
        self._inner = inner

    async def start_task(self, task: "EvalSpec", samples: "list[Sample]", epochs: int) -> str:
        """Name of this early stopping."""
        if self._inner is not None:
            await self._inner.start_task(task, samples, epochs)
        return "joulebench"

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:  # noqa: A002  # inspect-ai's name
        """Whether to skip a sample."""
        reason = self._session.reason_to_skip(str(id), epoch)
        if reason is not None:
            return EarlyStop(id=id, epoch=epoch, reason=reason)
        return None if self._inner is None else await self._inner.schedule_sample(id, epoch)

    async def complete_sample(self, id: str | int, epoch: int, scores: "dict[str, SampleScore]") -> None:  # noqa: A002
        """A sample is done."""
        if self._inner is not None:
            await self._inner.complete_sample(id, epoch, scores)

    async def complete_task(self) -> dict[str, JsonValue]:
        """What the log should say."""
        return {} if self._inner is None else await self._inner.complete_task()
