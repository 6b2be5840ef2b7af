"""BenchmarkRun: one benchmark, immutable like a Job."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from joulebench_api.contracts.identity import GRADER_ROLE, JUDGE_ALIAS, MODEL_ALIAS
from joulebench_api.problems import shown
from joulebench_api.v1alpha1.agent import Agent, Sandbox
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap
from joulebench_api.v1alpha1.energy import Cost, Energy, EnergyPolicy
from joulebench_api.v1alpha1.execution import ErrorLimit, Runner, Timeouts, Warmup
from joulebench_api.v1alpha1.generation import Generation
from joulebench_api.v1alpha1.kubernetes import Queue
from joulebench_api.v1alpha1.load import Load
from joulebench_api.v1alpha1.metadata import Metadata
from joulebench_api.v1alpha1.model_server import API_VERSION
from joulebench_api.v1alpha1.numbers import Bool, Count, Int64, PositiveInt
from joulebench_api.v1alpha1.results import Results
from joulebench_api.v1alpha1.rules import Cel, Rule, Violation, at_most_one_of, field_of
from joulebench_api.v1alpha1.server_source import ServerSource
from joulebench_api.v1alpha1.task import Task
from joulebench_api.v1alpha1.texts import Duration, SubmodelName
from joulebench_api.v1alpha1.values import ValueRule

_RESERVED = (MODEL_ALIAS, JUDGE_ALIAS, GRADER_ROLE)


def _not_reserved(name: str) -> Iterable[Violation]:
    if name in _RESERVED:
        message = f"{shown(name)} is taken by the run's own servers"
        yield Violation(path=(), message=message, remedy="choose another name", value=name)


_NOT_RESERVED = Cel(f"!(self in {list(_RESERVED)})", "is taken by the run's own servers")


class Submodel(ApiModel):
    """Another model that the task or the agent may ask: inspect-ai's model role of this name."""

    name: Annotated[SubmodelName, ValueRule(_not_reserved, (_NOT_RESERVED,))]
    server: ServerSource
    generation: Generation | None = None
    """Of each call to it; goes before what the caller asks for."""


class Judge(ApiModel):
    """The model that scores answers."""

    server: ServerSource
    generation: Generation | None = None


def _load_excludes_questions(given: Mapping[str, Any]) -> Iterable[Violation]:
    if "load" not in given:
        return
    # `epochs: 1` is the schema's default, so it must be allowed. At most one of agent and load is another rule.
    for field, harmless in (("concurrency", None), ("epochs", 1), ("judge", None)):
        if field in given and given[field] != harmless:
            yield Violation(path=(field,), message=_NO_MEANING, remedy=f"remove {field} or load", value=given[field])


_NO_MEANING = "has no meaning with load, whose answers are not scored and whose stages say their own pace"
_LOAD_EXCLUDES_QUESTIONS = Rule(
    _load_excludes_questions,
    (
        Cel("!has(self.load) || !has(self.concurrency)", _NO_MEANING, ".concurrency"),
        Cel("!has(self.load) || !has(self.epochs) || self.epochs == 1", _NO_MEANING, ".epochs"),
        Cel("!has(self.load) || !has(self.judge)", _NO_MEANING, ".judge"),
    ),
)


def _required_energy_can_be_seen(given: Mapping[str, Any]) -> Iterable[Violation]:
    external = field_of(given, "server", "external")
    required = field_of(given, "energy", "policy") == EnergyPolicy.REQUIRED
    if required and external is not None and field_of(external, "podSelector") is None:
        yield Violation(
            path=("energy", "policy"),
            message="Required needs a server whose devices can be seen; spec.server.external names only an address",
            remedy="add spec.server.external.podSelector, use modelServerRef or template, or choose Preferred",
            value=EnergyPolicy.REQUIRED.value,
        )


_REQUIRED_ENERGY_CAN_BE_SEEN = Rule(
    _required_energy_can_be_seen,
    (
        Cel(
            "!has(self.energy) || !has(self.energy.policy) || self.energy.policy != 'Required'"
            " || !has(self.server.external) || has(self.server.external.podSelector)",
            "Required needs a server whose devices can be seen; server.external names only an address:"
            " add server.external.podSelector, or choose Preferred",
            ".energy.policy",
        ),
    ),
)


MUTABLE_FIELDS = ("suspend", "ttl_after_finished", "rerun_token")
"""Attributes of a run's spec that may be changed after creation; all others may not."""


class BenchmarkRunSpec(ApiModel):
    """A benchmark: which model answers which questions, how, and what is measured meanwhile.

    Absent fields that a configuration may set are filled by `joulebench_api.defaults.resolve`.
    """

    rules = (at_most_one_of("agent", "load"), _LOAD_EXCLUDES_QUESTIONS, _REQUIRED_ENERGY_CAN_BE_SEEN)

    server: ServerSource
    """The model under test."""
    submodels: Annotated[tuple[Submodel, ...], ListMap(), Field(max_length=8)] = ()
    """Other models that the task or the agent may ask, by their names. Their joules count for the question."""
    judge: Judge | None = None
    """Scores answers, where the task needs one; its joules are counted apart."""
    task: Task
    agent: Agent | None = None
    """Answers in several turns, with tools; absent (and no load): one turn."""
    load: Load | None = None
    """Requests by the clock instead of questions; answers are not scored."""
    sandbox: Sandbox | None = None
    concurrency: PositiveInt | None = None
    """Questions in flight, over all shards."""
    epochs: PositiveInt = 1
    """How often each question is asked."""
    seed: Int64 = 42
    """For the order of questions, arrivals and bootstraps; the model's own is `generation.seed`."""
    generation: Generation | None = None
    """Options of each request to the model under test."""
    warmup: Warmup = Field(default_factory=Warmup)
    max_errors: ErrorLimit | None = None
    """Absent: no limit; errors are counted."""
    energy: Energy = Field(default_factory=Energy)
    cost: Cost = Field(default_factory=Cost)
    results: Results = Field(default_factory=Results)
    shards: Annotated[int, Strict(), Field(ge=1, le=64)] = 1
    """Runner pods that share the questions; limits and rates are for the run as a whole."""
    retry_limit: Count = 3
    """Of infrastructure failures; preemptions are not counted."""
    timeouts: Timeouts = Field(default_factory=Timeouts)
    runner: Runner = Field(default_factory=Runner)
    queue: Queue | None = None
    """Of the runner and of the servers that the run makes."""
    # The three below are MUTABLE_FIELDS.
    suspend: Bool = False
    """True frees the accelerators; what is answered is kept."""
    ttl_after_finished: Duration | None = None
    """What the run made is removed after this time; never the run itself, never its results."""
    rerun_token: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """A new value starts a new attempt; earlier results stay where they are."""


class BenchmarkRun(ApiModel):
    """One benchmark."""

    api_version: Literal["joulebench.dev/v1alpha1"] = API_VERSION
    kind: Literal["BenchmarkRun"] = "BenchmarkRun"
    metadata: Metadata
    spec: BenchmarkRunSpec
