"""What the operator says about objects. Decimals are text, units are in the names; absent is "not known", never 0."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, WithJsonSchema

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap, ListSet
from joulebench_api.v1alpha1.energy import EnergyDomain
from joulebench_api.v1alpha1.numbers import Bool, Count, Count64, PercentInt

MESSAGE_LENGTH = 1024
MAX_ENDPOINTS = 64
MAX_DEVICES = 64
MAX_ATTEMPTS = 10
MAX_CELLS = 100

_Name = Annotated[str, Field(max_length=256)]
_Url = Annotated[str, Field(max_length=2048)]
_Sha256 = Annotated[str, Field(max_length=64)]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC, such as `2026-01-31T12:00:00Z`."""
DecimalText = Annotated[str, Field(max_length=32)]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of how an object stands."""

    type: Annotated[str, Field(max_length=316)]
    status: ConditionStatus
    observed_generation: Count64 | None = None
    last_transition_time: Time
    reason: Annotated[str, Field(min_length=1, max_length=256)]
    message: Annotated[str, Field(max_length=MESSAGE_LENGTH)] = ""


Conditions = Annotated[tuple[Condition, ...], ListMap(("type",)), Field(max_length=16)]


class Configuration(ApiModel):
    """The operator's configuration that was used."""

    sha256: _Sha256 | None = None


class Endpoint(ApiModel):
    """A pod that serves, and the devices that it uses."""

    pod: _Name
    node: _Name | None = None
    ip: Annotated[str, Field(max_length=64)] | None = None
    devices: Annotated[tuple[_Name, ...], ListSet(), Field(max_length=MAX_DEVICES)] | None = None


class ResolvedServer(ApiModel):
    """A server as it really runs."""

    image: _Url | None = None
    image_digest: _Name | None = None
    engine_version: _Name | None = None
    model_revision: _Name | None = None
    accelerator_product: _Name | None = None
    accelerators_per_replica: Count | None = None
    argv: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=256)] | None = None
    """The engine's command line, without secrets."""
    configuration: Configuration | None = None


class Startup(ApiModel):
    """How long the last start took."""

    pull_seconds: DecimalText | None = None
    load_seconds: DecimalText | None = None
    warm_seconds: DecimalText | None = None
    total_seconds: DecimalText | None = None


class ModelServerStatus(ApiModel):
    """How a server stands."""

    observed_generation: Count64 | None = None
    conditions: Conditions = ()
    url: _Url | None = None
    """Where it answers inside the cluster."""
    model: Annotated[str, Field(max_length=1024)] | None = None
    """The name to ask it by."""
    selector: Annotated[str, Field(max_length=1024)] | None = None
    """Selects its pods, for autoscalers."""
    replicas: Count | None = None
    ready_replicas: Count | None = None
    last_used_time: Time | None = None
    """Written at most once a minute."""
    endpoints: Annotated[tuple[Endpoint, ...], ListMap(("pod",)), Field(max_length=MAX_ENDPOINTS)] = ()
    resolved: ResolvedServer | None = None
    startup: Startup | None = None


class Attempt(ApiModel):
    """One attempt at a run."""

    number: Count
    rerun_token: Annotated[str, Field(max_length=63)] | None = None
    reason: _Name | None = None
    start_time: Time | None = None
    completion_time: Time | None = None
    results_url: Annotated[_Url | None, Field(alias="resultsURL")] = None


class RunProgress(ApiModel):
    """How far a run is; written every few seconds at most."""

    completed: Count64 | None = None
    failed: Count64 | None = None
    total: Count64 | None = None
    percent: PercentInt | None = None
    eta_seconds: Count64 | None = None
    display: _Name | None = None
    """`412/1319`."""


class StageTime(ApiModel):
    """When a stage began and ended."""

    name: Annotated[str, Field(max_length=63)]
    start_time: Time | None = None
    end_time: Time | None = None


class ResolvedTask(ApiModel):
    """The questions that are really asked."""

    name: _Name | None = None
    revision: _Name | None = None
    records: Count64 | None = None
    sha256: _Sha256 | None = None


class ResolvedModel(ApiModel):
    """A model that a run uses, as it really is."""

    model: Annotated[str, Field(max_length=1024)] | None = None
    url: _Url | None = None
    engine: _Name | None = None
    engine_version: _Name | None = None
    model_revision: _Name | None = None
    image_digest: _Name | None = None
    accelerator_product: _Name | None = None
    replicas: Count | None = None


class ResolvedSubmodel(ResolvedModel):
    """A submodel, by its name."""

    name: Annotated[str, Field(max_length=15)]


class ResolvedRunner(ApiModel):
    """The runner that was used."""

    image: _Url | None = None
    digest: _Name | None = None
    version: _Name | None = None


class ResolvedEnergy(ApiModel):
    """What is measured, and how."""

    domains: Annotated[tuple[EnergyDomain, ...], ListSet(), Field(max_length=3)] | None = None
    attribution: _Name | None = None
    sensor: _Name | None = None


class Resolved(ApiModel):
    """What was computed for a run: never written back into its spec."""

    task: ResolvedTask | None = None
    server: ResolvedModel | None = None
    submodels: Annotated[tuple[ResolvedSubmodel, ...], ListMap(), Field(max_length=8)] | None = None
    judge: ResolvedModel | None = None
    runner: ResolvedRunner | None = None
    energy: ResolvedEnergy | None = None
    configuration: Configuration | None = None


class EnergyKind(StrEnum):
    """Where joules come from: a counter, a stated model, or a simulation."""

    MEASURED = "Measured"
    MODELLED = "Modelled"
    SIMULATED = "Simulated"


class RunCounts(ApiModel):
    """asked = correct + incorrect + unscored + errors; answered = asked - errors."""

    asked: Count64 | None = None
    answered: Count64 | None = None
    correct: Count64 | None = None
    incorrect: Count64 | None = None
    unscored: Count64 | None = None
    errors: Count64 | None = None


class RunSummary(ApiModel):
    """The figures that most people ask for; everything is in the results."""

    accuracy: DecimalText | None = None
    accuracy_low: DecimalText | None = None
    accuracy_high: DecimalText | None = None
    joules_total: DecimalText | None = None
    joules_per_query: DecimalText | None = None
    joules_per_correct: DecimalText | None = None
    joules_per_output_token: DecimalText | None = None
    judge_joules: DecimalText | None = None
    output_tokens_per_second: DecimalText | None = None
    ttft_p50_seconds: DecimalText | None = None
    ttft_p99_seconds: DecimalText | None = None
    tpot_p50_seconds: DecimalText | None = None
    cost_per_correct: DecimalText | None = None
    energy_kind: EnergyKind | None = None
    conserved: Bool | None = None
    """Whether the joules of all parts were found to add up to the counters', exactly."""
    client_limited: Bool | None = None
    """Whether joulebench itself was too slow for the server."""
    max_rate: DecimalText | None = None
    """Highest rate (requests per second) that met all objectives; searches only."""
    counts: RunCounts | None = None


class StoredFile(ApiModel):
    """Where results are."""

    url: _Url | None = None
    sha256: _Sha256 | None = None
    bytes: Count64 | None = None


class BenchmarkRunStatus(ApiModel):
    """How a run stands. At most 16 KiB."""

    observed_generation: Count64 | None = None
    conditions: Conditions = ()
    start_time: Time | None = None
    completion_time: Time | None = None
    attempts: Annotated[tuple[Attempt, ...], ListMap(("number",)), Field(max_length=MAX_ATTEMPTS)] = ()
    """The last ten."""
    progress: RunProgress | None = None
    stages: Annotated[tuple[StageTime, ...], ListMap(), Field(max_length=80)] = ()
    resolved: Resolved | None = None
    summary: RunSummary | None = None
    results: StoredFile | None = None


class CellCounts(ApiModel):
    """How many cells are in which state."""

    total: Count | None = None
    pending: Count | None = None
    running: Count | None = None
    succeeded: Count | None = None
    failed: Count | None = None


class CellState(StrEnum):
    """Where a cell stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Cell(ApiModel):
    """One cell of the matrix."""

    name: Annotated[str, Field(max_length=63)]
    model: Annotated[str, Field(max_length=63)] | None = None
    variant: Annotated[str, Field(max_length=63)] | None = None
    benchmark: Annotated[str, Field(max_length=63)] | None = None
    state: CellState | None = None
    run: Annotated[str, Field(max_length=63)] | None = None
    accuracy: DecimalText | None = None
    joules_per_correct: DecimalText | None = None


class BenchmarkCampaignStatus(ApiModel):
    """How a campaign stands."""

    observed_generation: Count64 | None = None
    conditions: Conditions = ()
    cells: CellCounts | None = None
    round: Annotated[str, Field(max_length=6)] | None = None
    last_schedule_time: Time | None = None
    next_schedule_time: Time | None = None
    cell_table: Annotated[tuple[Cell, ...], ListMap(), Field(max_length=MAX_CELLS)] = ()
    """The first hundred; the report has all."""
    report: StoredFile | None = None
