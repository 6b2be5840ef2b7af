"""Load: requests by the clock or by the number in flight instead of questions by their answers."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, PlainValidator, model_validator

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import ApiModel, refusal
from joulebench_api.v1alpha1.collections import ListMap
from joulebench_api.v1alpha1.decimals import PositiveDecimal, decimal_text
from joulebench_api.v1alpha1.numbers import Percentile, PercentInt, PositiveInt
from joulebench_api.v1alpha1.rules import Violation, exactly_one_of, only_with
from joulebench_api.v1alpha1.texts import Dns1035, Duration, Percent, PositiveDuration


class Arrival(StrEnum):
    """The process by which requests arrive."""

    POISSON = "Poisson"
    CONSTANT = "Constant"
    GAMMA = "Gamma"


class LoadStage(ApiModel):
    """A stretch of load: at a rate (requests per second) or with a number in flight, for a time or a count."""

    rules = (exactly_one_of("rate", "concurrency"), exactly_one_of("duration", "requests"))

    name: Annotated[Dns1035, Field(max_length=63)]
    rate: PositiveDecimal | None = None
    concurrency: PositiveInt | None = None
    duration: PositiveDuration | None = None
    requests: PositiveInt | None = None


class Search(ApiModel):
    """A search for the highest rate (requests per second) that meets all objectives."""

    min: PositiveDecimal
    max: PositiveDecimal
    tolerance_percent: Annotated[PercentInt, Field(ge=1)] = 5
    stage_duration: PositiveDuration = Duration("2m")

    @model_validator(mode="after")
    def _min_below_max(self) -> Self:
        if self.min >= self.max:
            message = f"{decimal_text(self.max)} is not above min, which is {decimal_text(self.min)}"
            raise refusal(Violation(path=("max",), message=message, remedy="choose a higher max or a lower min"))
        return self


class Metric(StrEnum):
    """What an objective is about."""

    TTFT = "TTFT"
    TPOT = "TPOT"
    E2E = "E2E"
    ERROR_RATE = "ErrorRate"


def _limit(value: Any) -> Duration | Percent:
    if isinstance(value, str) and value.endswith("%"):
        return Percent.parse(value)
    return Duration.parse(value)


class Objective(ApiModel):
    """A bound on a percentile of a latency, or on the part of requests that fail."""

    metric: Metric
    percentile: Percentile
    max: Annotated[Duration | Percent, PlainValidator(_limit)]

    @model_validator(mode="after")
    def _limit_fits_the_metric(self) -> Self:
        if (self.metric is Metric.ERROR_RATE) != isinstance(self.max, Percent):
            wanted = "a percentage such as 1%" if self.metric is Metric.ERROR_RATE else "a duration such as 500ms"
            message = f"{shown(self.max)} does not fit the metric {self.metric}"
            raise refusal(Violation(path=("max",), message=message, remedy=f"write {wanted}"))
        return self


class Load(ApiModel):
    """Load in stages, or a search for the highest rate that meets the objectives. Answers are not scored."""

    rules = (
        exactly_one_of("stages", "search"),
        only_with("burstiness", "arrival", Arrival.GAMMA, default=Arrival.POISSON),
        only_with("search", "objectives"),
    )

    arrival: Arrival = Arrival.POISSON
    burstiness: PositiveDecimal | None = None
    stages: Annotated[tuple[LoadStage, ...], ListMap(), Field(min_length=1, max_length=64)] | None = None
    search: Search | None = None
    objectives: Annotated[tuple[Objective, ...], ListMap(("metric", "percentile")), Field(min_length=1)] | None = None
