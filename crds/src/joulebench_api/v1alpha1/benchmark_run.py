"""BenchmarkRun: one benchmark, immutable like a Job."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict

from joulebench_api.contracts.identity import JUDGE_ALIAS, MODEL_ALIAS
from joulebench_api.problems import shown
from joulebench_api.v1alpha1.agent import Agent, Sandbox
from joulebench_api.v1alpha1.base import ApiModel, refusal
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
from joulebench_api.v1alpha1.rules import Violation, at_most_one_of, field_of
from joulebench_api.v1alpha1.server_source import ServerSource
from joulebench_api.v1alpha1.task import Task
from joulebench_api.v1alpha1.texts import Duration, SubmodelName


def _not_reserved(name: str) -> str:
    if name in {MODEL_ALIAS, JUDGE_ALIAS}:
        raise refusal(
            Violation(path=(), message=f"{shown(name)} is taken by the run's own servers", remedy="choose another name")
        )
    return name


class Submodel(ApiModel):
    """Another model that an agent may call, by its name."""

    name: Annotated[SubmodelName, AfterValidator(_not_reserved)]
    server: ServerSource
    generation: Generation | None = None


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
            yield Violation(
                path=(field,),
                message="has no meaning with load, whose answers are not scored and whose stages say their own pace",
                remedy=f"remove {field} or load",
                value=given[field],
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


class BenchmarkRunSpec(ApiModel):
    """A benchmark: which model answers which questions, how, and what is measured meanwhile.

    Absent fields that a configuration may set are filled by `joulebench_api.defaults.resolve`.
    """

    rules = (at_most_one_of("agent", "load"), _load_excludes_questions, _required_energy_can_be_seen)

    server: ServerSource
    submodels: Annotated[tuple[Submodel, ...], ListMap(), Field(max_length=8)] = ()
    judge: Judge | None = None
    task: Task
    agent: Agent | None = None
    load: Load | None = None
    sandbox: Sandbox | None = None
    concurrency: PositiveInt | None = None
    """Questions in flight, over all shards."""
    epochs: PositiveInt = 1
    seed: Int64 = 42
    """For the order of questions, arrivals and bootstraps; the model's own is `generation.seed`."""
    generation: Generation | None = None
    warmup: Warmup = Field(default_factory=Warmup)
    max_errors: ErrorLimit | None = None
    """Absent: no limit; errors are counted."""
    energy: Energy = Field(default_factory=Energy)
    cost: Cost = Field(default_factory=Cost)
    results: Results = Field(default_factory=Results)
    shards: Annotated[int, Strict(), Field(ge=1, le=64)] = 1
    retry_limit: Count = 3
    """Of infrastructure failures; preemptions are not counted."""
    timeouts: Timeouts = Field(default_factory=Timeouts)
    runner: Runner = Field(default_factory=Runner)
    queue: Queue | None = None
    # The three below may be changed after creation; all other fields of the spec may not.
    suspend: Bool = False
    ttl_after_finished: Duration | None = None
    """What the run made is removed after this time; never the run itself, never its results."""
    rerun_token: Annotated[str, Field(min_length=1, max_length=63)] | None = None


class BenchmarkRun(ApiModel):
    """One benchmark."""

    api_version: Literal["joulebench.dev/v1alpha1"] = API_VERSION
    kind: Literal["BenchmarkRun"] = "BenchmarkRun"
    metadata: Metadata
    spec: BenchmarkRunSpec
