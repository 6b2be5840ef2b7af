"""`summary.json`: the result of a run in one small, versioned document. Null means "not known", never 0.

Units are in the names. Definitions (accuracy, IPJ, TTFT, ...) stand with the fields.
"""

import decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.energy import Method, SensorKind
from joulebench_api.contracts.meter import ResolvedTask, Stage


class Part(BaseModel):
    """Base of all parts of the summary. Readers ignore fields they do not know (a newer writer may add some)."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class StageTimes(Part):
    """When a stage began, how long it took and what it cost on the served devices."""

    name: Stage
    started_at: str
    """RFC 3339, UTC."""
    seconds: float | None
    energy_joules: float | None = None


class Counts(Part):
    """asked = correct + incorrect + unscored + errors; answered = asked - errors."""

    asked: int
    answered: int
    correct: int
    incorrect: int
    unscored: int
    errors: int


class Accuracy(Part):
    """correct / asked, with a 95 % Wilson interval (clustered by record when epochs > 1)."""

    value: float
    low: float
    high: float


class Distribution(Part):
    """Figures over the queries that have a value; `count` says how many have."""

    count: int
    mean: float
    median: float
    p5: float
    p95: float
    p99: float
    min: float
    max: float
    std: float | None
    """Sample standard deviation; null below two values."""


class DeviceEnergy(Part):
    """One device's share of the identity, in joules (exact to the millijoule)."""

    device: str
    name: str
    domain: str
    scope: str
    sensor: str
    kind: SensorKind
    total_joules: float
    queries_joules: float
    judge_joules: float
    idle_joules: float
    foreign_joules: float | None
    unattributed_joules: float
    shared_joules: float
    boundary_joules: float
    ticks: int
    tick_period_seconds: float | None
    coverage_percent: float


class Range(Part):
    """Mean over the measured time, and extremes."""

    mean: float
    max: float
    min: float


class Gpu(Part):
    """An accelerator and what it showed beside its energy while the run was measured. No joules are made from these.

    Null: it does not tell. The exporter looks about once a second; shorter peaks may have been missed.
    """

    device: str
    name: str
    sensor: str
    looks: int = 0
    """How often it was looked at in the measured time."""
    power_watts: Range | None = None
    utilisation_percent: Range | None = None
    memory_used_bytes: Range | None = None
    temperature_celsius: Range | None = None
    throttling_seconds: float | None = None
    """How long its clocks were lowered by a limit of power or heat or by a brake."""
    throttling_seconds_by_reason: dict[str, float] = Field(default_factory=dict)
    """Reasons may hold at the same time; those that never held are left out."""
    suspect_readings: dict[str, int] = Field(default_factory=dict)
    """Readings that cannot be true, by name (`time_ns`: a clock that ran backwards). They are in none of the figures
    above; the journal has them as they were told."""


class Energy(Part):
    """Where the joules of the measured window went.

    total = queries + judge + shared + idle + foreign + unattributed + boundary, exactly, on every device and tick;
    `conserved` says whether that was found to hold, by `==` on integers.
    """

    sensor: str | None
    kind: SensorKind | None
    method: Method
    conserved: bool
    problem: str | None = None
    """Why there are no joules, when there are none."""
    total_joules: float | None
    queries_joules: float | None
    idle_joules: float | None
    foreign_joules: float | None
    foreign_reason: str | None = None
    judge_joules: float | None
    unattributed_joules: float | None
    unattributed: dict[str, float] = Field(default_factory=dict)
    """The unattributed joules by reason: `unjoined`, `abandoned`, `missed_ticks`, ..."""
    shared_joules: float | None
    boundary_joules: float | None
    prefill_joules: float | None
    decode_joules: float | None
    baseline_watts: float | None = None
    """Mean power before the first question, model loaded."""
    mean_watts: float | None = None
    """Mean power over the measured window."""
    coverage_percent: float | None = None
    """Part of the measured window that ticks cover, the worst device."""
    clock_error_seconds: float | None = None
    per_query: Distribution | None
    per_correct_joules: float | None
    """Joules of queries / correct answers."""
    per_correct_all_in_joules: float | None
    """(queries + idle + judge) / correct answers."""
    fallback_calls: int = 0
    """Calls that were split by `Equal` because the server reported no token counts."""
    devices: list[DeviceEnergy] = Field(default_factory=list)


class Tokens(Part):
    """Token counts as the servers reported them; null where they did not. Those of a whole run are of the model under
    test and its submodels together; `models` tells them apart."""

    prompt: int | None
    cached_prompt: int | None
    output: int | None
    calls_without_usage: int


class ModelUse(Part):
    """One model of the run, and what the measured questions asked of it. The joules of all add up to those of the
    questions and the judge."""

    alias: str
    """`model`, `judge`, or a submodel's name."""
    role: Literal["model", "judge", "submodel"]
    name: str
    """As its server knows it."""
    calls: int
    """For the questions, failed ones and retries included."""
    tokens: Tokens
    energy_joules: float | None
    """Of these calls; null where its devices are not measured."""


class Latency(Part):
    """TTFT: intended send to first content chunk. TPOT: (last - first content chunk) / (output tokens - 1).
    E2E: intended send to the last byte. The first two are the model's under test, E2E is over a question's calls."""

    ttft_seconds: Distribution | None
    tpot_seconds: Distribution | None
    e2e_seconds: Distribution | None


class Throughput(Part):
    """Over the measured window."""

    queries_per_second: float | None
    output_tokens_per_second: float | None


class Efficiency(Part):
    """IPJ: accuracy / mean joules per query. IPW: accuracy / mean watts over the measured window."""

    ipj: float | None
    ipw: float | None
    joules_per_output_token: float | None


def _plain(value: decimal.Decimal) -> str:
    """Without an exponent, which readers of status fields would not take."""
    return format(value, "f")


Decimal = Annotated[decimal.Decimal, PlainSerializer(_plain, return_type=str, when_used="json-unless-none")]
"""An exact number; text in JSON, so that no reader rounds it."""


class TokenPrices(Part):
    """Prices for a million tokens; null where none is known."""

    input_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None
    """Of prompt tokens that the server took from its cache. Null: they cost what all input costs."""
    output_per_million: Decimal | None = None


class Prices(Part):
    """What costs were reckoned with (`spec.cost`, `tokenPrices` of each server, and the fleet's prices)."""

    currency: str | None = None
    """ISO 4217."""
    electricity_per_kwh: Decimal | None = None
    accelerator_per_hour: Decimal | None = None
    accelerator_per_hour_by_product: dict[str, Decimal] = Field(default_factory=dict)
    """By the device's product; goes before `accelerator_per_hour`, which is for all others."""
    carbon_grams_per_kwh: Decimal | None = None
    pue: Decimal | None = None
    """Power usage effectiveness of the data centre; null counts as 1."""
    tokens: dict[str, TokenPrices] = Field(default_factory=dict)
    """By alias of the server."""


class TokensOfServer(Part):
    """Tokens of the answered calls to one server; null where it did not tell them for every call."""

    prompt: int | None
    cached_prompt: int | None
    """Part of `prompt`."""
    output: int | None


class CostBasis(Part):
    """All that a cost needs beside prices. Over the measured window."""

    energy_mj: int | None
    """(queries + idle + judge) in millijoules: the all-in energy."""
    energy_problem: str | None
    accelerators: int
    """GPU devices that were measured."""
    accelerator_ns: int | None
    """Nanoseconds of the measured window, summed over the accelerators; null where none was seen."""
    accelerator_ns_by_product: dict[str, int] = Field(default_factory=dict)
    """The same for each product. Empty in summaries of releases that knew no prices by product."""
    queries: int
    """Questions asked."""
    correct: int | None
    """Null for tasks that are not scored."""
    tokens: dict[str, TokensOfServer] = Field(default_factory=dict)
    """By alias of the server."""


class CostFigure(Part):
    """One kind of cost: exact to 12 significant digits, or null with the reason in `problem`."""

    total: Decimal | None = None
    per_query: Decimal | None = None
    """total / questions asked."""
    per_correct: Decimal | None = None
    """total / correct answers; null also where no answer was correct."""
    problem: str | None = None
    """Why it is not known."""


class Cost(Part):
    """What the measured window cost. Money is in `prices.currency`."""

    prices: Prices = Field(default_factory=Prices)
    basis: CostBasis | None = None
    """Null in summaries of releases that knew no costs."""
    energy_kwh: CostFigure = Field(default_factory=CostFigure)
    """All-in energy (queries + idle + judge) times PUE."""
    electricity: CostFigure = Field(default_factory=CostFigure)
    """energy_kwh x electricity_per_kwh."""
    accelerator_hours: CostFigure = Field(default_factory=CostFigure)
    """Hours of all measured GPU devices together."""
    accelerators: CostFigure = Field(default_factory=CostFigure)
    """accelerator_hours x accelerator_per_hour, or the price of each accelerator's product."""
    carbon_grams: CostFigure = Field(default_factory=CostFigure)
    """energy_kwh x carbon_grams_per_kwh, grams of CO2 equivalents."""
    tokens: CostFigure = Field(default_factory=CostFigure)
    """What the same tokens of the model under test cost at the API prices."""
    submodel_tokens: CostFigure = Field(default_factory=CostFigure)
    """The same for all submodels together."""
    judge_tokens: CostFigure = Field(default_factory=CostFigure)
    """The same for the judge."""
    paid: CostFigure = Field(default_factory=CostFigure)
    """One figure for the money: electricity and accelerators, as far as they are known, or, where neither is, the
    tokens; with the submodels' and the judge's tokens if they have a price. `paid_for` names what is in it."""
    paid_for: list[str] = Field(default_factory=list)


class Client(Part):
    """Whether our own client was the bottleneck."""

    limited: bool
    """False also where the lag was not measured (`lag_p99_seconds` is null then)."""
    lag_p99_seconds: float | None
    """How late our client read what had arrived, 99th percentile; null where that was not measured."""


class Model(Part):
    """The model under test."""

    name: str
    engine: str | None
    url: str | None = None
    revision: str | None = None


class Stored(Part):
    """Where the run's folder was copied to."""

    url: str
    problem: str | None = None
    """Why it is not, or not all of it; the results lie in the local folder."""


class Summary(Part):
    """The whole document."""

    schema_version: int = SCHEMA_VERSION
    run: str
    name: str
    state: Literal["completed", "failed", "error-limit", "interrupted"]
    message: str | None = None
    """Why it ended early."""
    remedy: str | None = None
    """What can be done about it."""
    task: ResolvedTask | None
    """Null where the run ended before its task was read."""
    model: Model
    stages: list[StageTimes]
    counts: Counts
    accuracy: Accuracy | None
    """Null for tasks that are not scored."""
    energy: Energy
    models: list[ModelUse] = Field(default_factory=list)
    """The model under test, then submodels and judge. Empty in summaries of releases that did not tell them apart."""
    tokens: Tokens
    latency: Latency
    throughput: Throughput
    efficiency: Efficiency
    cost: Cost = Field(default_factory=Cost)
    client: Client
    gpus: list[Gpu] = Field(default_factory=list)
    stored: Stored | None = None
    """Null: in no store."""
    warnings: list[str] = Field(default_factory=list)
