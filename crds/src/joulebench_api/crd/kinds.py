"""The kinds: names, columns, and the rules that look at the whole object or at its change."""

from collections.abc import Iterable
from dataclasses import dataclass

from joulebench_api.names import camel, joined
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import MUTABLE_FIELDS, BenchmarkRun, BenchmarkRunSpec
from joulebench_api.v1alpha1.campaign import BenchmarkCampaign, BenchmarkCampaignSpec
from joulebench_api.v1alpha1.model_server import IMMUTABLE_FIELDS, ModelServer, ModelServerSpec
from joulebench_api.v1alpha1.rules import Cel, Violation
from joulebench_api.v1alpha1.status import BenchmarkCampaignStatus, BenchmarkRunStatus, ModelServerStatus


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; those of priority 1 are shown with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Immutability:
    """Fields of a spec that cannot be changed, added or removed once the object is there."""

    fields: tuple[str, ...]
    message: str

    def violations(self, old: ApiModel, new: ApiModel) -> Iterable[Violation]:
        """The fields that differ between two specs; another way to write the same value is no difference here."""
        before, after = (spec.model_dump(mode="json", by_alias=True) for spec in (old, new))
        for field in self.fields:
            if before[field] != after[field]:
                yield Violation(path=(field,), message=self.message, value=after[field])

    @property
    def cel(self) -> Cel:
        """One rule for the whole spec: a rule at a field would not see that the field was added."""
        return Cel(" && ".join(map(_unchanged, self.fields)), self.message)


def _unchanged(field: str) -> str:
    return f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"


@dataclass(frozen=True)
class Kind:
    """A kind of joulebench.dev."""

    model: type[ApiModel]
    spec: type[ApiModel]
    status: type[ApiModel]
    plural: str
    short_name: str
    columns: tuple[Column, ...]
    immutability: Immutability | None = None
    scales: bool = False

    @property
    def name(self) -> str:
        """The kind's name, such as `BenchmarkRun`."""
        return self.model.__name__


def _fields(spec: type[ApiModel]) -> tuple[str, ...]:
    return tuple(field.alias or camel(name) for name, field in spec.model_fields.items())


_READY_REASON = '.status.conditions[?(@.type=="Ready")].reason'
_AGE = Column("Age", ".metadata.creationTimestamp", type="date")
_MUTABLE = tuple(map(camel, MUTABLE_FIELDS))

MODEL_SERVER = Kind(
    model=ModelServer,
    spec=ModelServerSpec,
    status=ModelServerStatus,
    plural="modelservers",
    short_name="msrv",
    columns=(
        Column("Model", ".status.model"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Reason", _READY_REASON),
        Column("Replicas", ".status.readyReplicas", type="integer", description="Replicas that answer"),
        Column("URL", ".status.url"),
        Column("Engine", ".spec.engine", priority=1),
        _AGE,
    ),
    immutability=Immutability(
        tuple(map(camel, IMMUTABLE_FIELDS)),
        f"{joined(IMMUTABLE_FIELDS)} cannot be changed: runs rely on what a server serves; create another ModelServer",
    ),
    scales=True,
)

BENCHMARK_RUN = Kind(
    model=BenchmarkRun,
    spec=BenchmarkRunSpec,
    status=BenchmarkRunStatus,
    plural="benchmarkruns",
    short_name="brun",
    columns=(
        Column("Model", ".status.resolved.server.model"),
        Column("Task", ".spec.task.name"),
        Column("Status", _READY_REASON),
        Column("Progress", ".status.progress.display"),
        Column("Accuracy", ".status.summary.accuracy"),
        Column("J/correct", ".status.summary.joulesPerCorrect"),
        Column("Tokens/s", ".status.summary.outputTokensPerSecond", priority=1),
        Column("J/token", ".status.summary.joulesPerOutputToken", priority=1),
        _AGE,
    ),
    immutability=Immutability(
        tuple(field for field in _fields(BenchmarkRunSpec) if field not in _MUTABLE),
        f"a run is immutable but for {joined(_MUTABLE)}; create another run",
    ),
)

BENCHMARK_CAMPAIGN = Kind(
    model=BenchmarkCampaign,
    spec=BenchmarkCampaignSpec,
    status=BenchmarkCampaignStatus,
    plural="benchmarkcampaigns",
    short_name="bcamp",
    columns=(
        Column("Status", _READY_REASON),
        Column("Cells", ".status.cells.total", type="integer"),
        Column("Succeeded", ".status.cells.succeeded", type="integer"),
        Column("Failed", ".status.cells.failed", type="integer"),
        Column("Schedule", ".spec.schedule", priority=1),
        Column("Next", ".status.nextScheduleTime", type="date", priority=1),
        _AGE,
    ),
)

KINDS = (MODEL_SERVER, BENCHMARK_RUN, BENCHMARK_CAMPAIGN)
