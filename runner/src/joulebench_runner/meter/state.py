"""What the meter knows while a run goes on: stage, progress, findings. No texts of questions or answers."""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from joulebench_api.contracts.meter import (
    Begin,
    EnergyState,
    Finish,
    MeterStatus,
    Plan,
    PlanReply,
    Progress,
    ServerState,
    Stage,
    StageEvent,
    StoreState,
)
from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock
from joulebench_runner.meter.client import ErrorKind
from joulebench_runner.meter.in_flight import InFlight
from joulebench_runner.meter.prior import Outcome, Prior, outcome_of, refuse_other_task
from joulebench_runner.meter.record import CallRecord

ServerStateName = Literal["waiting", "ready", "failed"]

RATE_WINDOW_SECONDS: Final = 10.0
_LAST_ERRORS: Final = 5


@dataclass(slots=True)
class _Server:
    state: ServerStateName = "waiting"
    message: str | None = None


@dataclass(slots=True)
class _Tokens:
    """Output tokens: all of them, and when the last of them came."""

    total: int = 0
    recent: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, tokens: int, *, now_ns: int) -> None:
        self.total += tokens
        self.recent.append((now_ns, tokens))

    def per_second(self, *, now_ns: int) -> float | None:
        oldest_ns = now_ns - int(RATE_WINDOW_SECONDS * 1e9)
        while self.recent and self.recent[0][0] < oldest_ns:
            self.recent.popleft()
        if not self.total:
            return None
        return sum(tokens for _, tokens in self.recent) / RATE_WINDOW_SECONDS


class MeterState:
    """Counts and findings of one meter. `on_finding` is told each new finding once (alias, words)."""

    def __init__(
        self,
        *,
        run_id: str,
        aliases: Iterable[str],
        prior: Prior | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_finding: Callable[[str, str], None] = lambda _alias, _message: None,
    ) -> None:
        self.run_id = run_id
        self.in_flight = InFlight()
        self.stage = Stage.STARTUP
        self.stage_open = False
        """Whether the stage was entered and not yet left."""
        self.run_started_ns: int | None = None
        self.run_ended_ns: int | None = None
        self.unjoined_calls = 0
        self.calls: Counter[tuple[str, str]] = Counter()
        """Ended calls by alias and outcome (`ok` or the kind of error)."""
        self.findings: list[str] = []
        self._clock = clock
        self._on_finding = on_finding
        self._stage_started_ns = clock.monotonic_ns()
        self._servers = {alias: _Server() for alias in aliases}
        self._attempts = dict(prior.attempts) if prior else {}
        self._outcomes: dict[str, Outcome] = dict(prior.outcomes) if prior else {}
        self._task = prior.task if prior else None
        self._total: int | None = None
        self._finished_before = 0
        self._tokens = _Tokens()
        self._errors: deque[str] = deque(maxlen=_LAST_ERRORS)

    def on_stage(self, event: StageEvent) -> None:
        """A stage begins or ends."""
        now_ns = self._clock.monotonic_ns()
        if event.event == "start":
            self.stage, self._stage_started_ns = event.stage, now_ns
        self.stage_open = event.event == "start"
        if event.stage is Stage.RUN and event.event == "start":
            self.run_started_ns, self.run_ended_ns = self.run_started_ns or now_ns, None
        if event.stage is Stage.RUN and event.event == "end":
            self.run_ended_ns = now_ns

    def check_plan(self, plan: Plan) -> None:
        """Raise BadInputError for a plan with other questions than those that were asked before."""
        refuse_other_task(self._task, plan.task)

    def on_plan(self, plan: Plan) -> PlanReply:
        """What of a plan is done already, and which attempts come next."""
        self._task, self._total = plan.task, len(plan.query_ids)
        finished = [query_id for query_id in plan.query_ids if query_id in self._outcomes]
        self._finished_before = len(finished)
        begun = {
            query_id: self._attempts[query_id]
            for query_id in plan.query_ids
            if query_id in self._attempts and query_id not in self._outcomes
        }
        return PlanReply(finished=finished, attempts=begun)

    def on_begin(self, begin: Begin) -> None:
        """A question is about to be asked."""
        self._attempts[begin.query_id] = max(self._attempts.get(begin.query_id, 0), begin.attempt + 1)

    def is_finished(self, query_id: str) -> bool:
        """Whether the question has its one answer."""
        return query_id in self._outcomes

    def on_finish(self, finish: Finish) -> None:
        """A question has its answer."""
        self._outcomes[finish.query_id] = outcome_of(error=finish.error, correct=finish.correct)
        self._attempts[finish.query_id] = max(self._attempts.get(finish.query_id, 0), finish.attempt + 1)
        if finish.error is not None:
            self._errors.append(f"question {finish.query_id}: failed")

    def on_call(self, record: CallRecord, *, usage_missing: str | None) -> None:
        """A call has ended."""
        self.calls[record.alias, record.error_kind or "ok"] += 1
        if record.query_id is None and record.stage == Stage.RUN:
            self.unjoined_calls += 1
        if record.error_kind is not None:
            status = f" (HTTP {record.status})" if record.error_kind == ErrorKind.STATUS else ""
            self._errors.append(f"call to {record.alias}: {record.error_kind}{status}")
        elif usage_missing is not None:
            self.find(record.alias, f"the server of {record.alias!r} does not report usage")
        if record.role != "judge" and record.output_tokens and record.stage == Stage.RUN:
            self._tokens.add(record.output_tokens, now_ns=self._clock.monotonic_ns())

    def on_server(self, alias: str, state: ServerStateName, *, message: str | None = None) -> None:
        """A server has become ready, will not, or is still waited for; the message says why."""
        self._servers[alias] = _Server(state, message)

    def find(self, alias: str, message: str) -> None:
        """Keep what was found out about a server, once."""
        if message not in self.findings:
            self.findings.append(message)
            self._on_finding(alias, message)

    def error(self, message: str) -> None:
        """Keep an error for the status; no texts of questions or answers."""
        self._errors.append(message)

    def progress(self) -> Progress:
        """Counts of questions and tokens."""
        counts = Counter(self._outcomes.values())
        now_ns = self._clock.monotonic_ns()
        return Progress(
            total=self._total,
            asked=len(self._attempts.keys() | self._outcomes.keys()),
            answered=len(self._outcomes) - counts["errors"],
            correct=counts["correct"],
            incorrect=counts["incorrect"],
            unscored=counts["unscored"],
            errors=counts["errors"],
            finished_before=self._finished_before,
            output_tokens=self._tokens.total,
            output_tokens_per_second=self._tokens.per_second(now_ns=now_ns),
        )

    def status(self, energy: EnergyState, *, store: StoreState | None = None) -> MeterStatus:
        """Everything that others may see."""
        return MeterStatus(
            run_id=self.run_id,
            stage=self.stage,
            stage_started_seconds_ago=(self._clock.monotonic_ns() - self._stage_started_ns) / 1e9,
            servers=[self._server_state(alias, server) for alias, server in self._servers.items()],
            progress=self.progress(),
            energy=energy,
            unjoined_calls=self.unjoined_calls,
            last_errors=list(self._errors),
            findings=list(self.findings),
            store=store,
        )

    def _server_state(self, alias: str, server: _Server) -> ServerState:
        return ServerState(alias=alias, state=server.state, message=server.message, in_flight=self.in_flight.of(alias))
