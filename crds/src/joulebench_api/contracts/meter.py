"""Messages between driver and meter (Unix socket) and what the meter tells everybody else (`/status`)."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from joulebench_api.contracts import SCHEMA_VERSION


class Message(BaseModel):
    """Base of all messages: unknown fields are refused, so that two releases that differ say so at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stage(StrEnum):
    """The stages of a run, in order. Only `run` is a measured window."""

    STARTUP = "startup"
    BASELINE = "baseline"
    WARMUP = "warmup"
    RUN = "run"
    SHUTDOWN = "shutdown"
    EXPORT = "export"


class StageEvent(Message):
    """`POST /v1/stage`: the driver (or who supervises it) enters or leaves a stage."""

    stage: Stage
    event: Literal["start", "end"]


class ResolvedTask(Message):
    """The task as it will be asked: what a reader needs to ask the same questions again."""

    name: str
    revision: str
    """Dataset revision (a commit, or a hash of the files that were read)."""
    records: int
    """Distinct records that will be asked; times epochs gives the number of questions."""
    epochs: int = 1
    sha256: str
    """Hash of the ordered record ids."""
    scored: bool = True
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    gated: bool = False
    """Its questions and answers are not to be published."""
    canary: str | None = None
    """The string by which its authors ask that it be kept out of training data; its texts are not to be published."""


class Plan(Message):
    """`POST /v1/plan`: what the driver is about to ask."""

    task: ResolvedTask
    query_ids: list[str]


class PlanReply(Message):
    """What of the plan is already done (its answers are journalled) and which attempt comes next for the rest."""

    finished: list[str] = Field(default_factory=list)
    attempts: dict[str, int] = Field(default_factory=dict)
    """Next attempt number for queries that were begun before; 0 for all others."""


class Begin(Message):
    """`POST /v1/begin`: a question is about to be asked."""

    query_id: str
    attempt: int = 0
    task: str
    record_id: str
    epoch: int = 1
    subject: str | None = None
    messages: list[dict[str, JsonValue]]
    reference: str | None = None


class Action(Message):
    """`POST /v1/action`: a tool call or another step of an agent, for energy per action."""

    action_id: str
    query_id: str
    attempt: int = 0
    name: str
    kind: str = "tool"
    start_ns: int
    end_ns: int
    error: str | None = None


class Finish(Message):
    """`POST /v1/finish`: the question is answered (or has failed). Acknowledged once it is on disk."""

    query_id: str
    attempt: int = 0
    response: str | None = None
    score: float | None = None
    correct: bool | None = None
    """None: not scored; `unscored_reason` or `error` says why."""
    scorer: str | None = None
    explanation: str | None = None
    unscored_reason: str | None = None
    error: str | None = None


class DriverDone(Message):
    """`POST /v1/driver-done`: the last message of a driver that ends by itself."""

    outcome: Literal["completed", "failed", "error-limit", "interrupted"]
    message: str | None = None
    remedy: str | None = None


class Dismissal(Message):
    """The answer to `GET /v1/attend`, which a driver holds open for as long as it lives: it is to end now."""

    reason: str


class Finalise(Message):
    """`POST /v1/finalise`: nothing more comes; attribute, export, end. For drivers that died, why they did."""

    outcome: Literal["completed", "failed", "error-limit", "interrupted"]
    message: str | None = None
    remedy: str | None = None


class Notice(Message):
    """`POST /v1/note`: something about the run that its reader should know, such as a process that was restarted."""

    topic: str
    subject: str
    message: str


class ServerState(Message):
    """One model server as the meter sees it."""

    alias: str
    state: Literal["waiting", "ready", "failed"]
    message: str | None = None
    in_flight: int = 0


class EnergyState(Message):
    """What is being measured right now."""

    sensor: str | None = None
    kind: str | None = None
    devices: int = 0
    watts: float | None = None
    joules: float | None = None
    """Since the measured window began."""
    problem: str | None = None


class Progress(Message):
    """Counts of questions, for the live line and for `status.progress`."""

    total: int | None = None
    asked: int = 0
    answered: int = 0
    correct: int = 0
    incorrect: int = 0
    unscored: int = 0
    errors: int = 0
    finished_before: int = 0
    """Questions that were over when the driver that asks now began; they took none of its time."""
    output_tokens: int = 0
    output_tokens_per_second: float | None = None
    """Over the last ten seconds."""


class StoreState(Message):
    """How far the copy of the journal in the store has come."""

    url: str
    behind: int
    """Closed segments that the store does not have yet."""
    last_error: str | None = None
    """Why it is behind; null while all goes well."""


class MeterStatus(Message):
    """`GET /status`: read-only, without prompts or answers."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    stage: Stage
    stage_started_seconds_ago: float
    servers: list[ServerState]
    progress: Progress
    energy: EnergyState
    unjoined_calls: int = 0
    last_errors: list[str] = Field(default_factory=list)
    """Up to five, newest last, without texts of questions or answers."""
    findings: list[str] = Field(default_factory=list)
    """What the meter found out about the servers, such as 'does not report usage'."""
    store: StoreState | None = None
    """Null: the run is not copied to a store."""

    def as_json(self) -> dict[str, Any]:
        """The status as plain JSON values."""
        return self.model_dump(mode="json")
