"""Load: requests by the clock or by the number in flight instead of questions by their answers."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError, WithJsonSchema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap
from joulebench_api.v1alpha1.decimals import PositiveDecimal, decimal_text, parse_decimal
from joulebench_api.v1alpha1.numbers import Percentile, PercentInt, PositiveInt
from joulebench_api.v1alpha1.rules import Cel, Rule, Violation, exactly_one_of, only_with
from joulebench_api.v1alpha1.texts import (
    DURATION_PATTERN,
    PERCENT_PATTERN,
    Dns1035,
    Duration,
    Percent,
    PositiveDuration,
)


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


def _min_below_max(given: Mapping[str, Any]) -> Iterable[Violation]:
    # A bound that is no decimal is told by its own field.
    with suppress(ValidationError):
        lowest, highest = parse_decimal(given.get("min")), parse_decimal(given.get("max"))
        if lowest >= highest:
            message = f"{decimal_text(highest)} is not above min, which is {decimal_text(lowest)}"
            yield Violation(path=("max",), message=message, remedy="choose a higher max or a lower min", value=highest)


class Search(ApiModel):
    """A search for the highest rate (requests per second) that meets all objectives."""

    rules = (
        Rule(
            _min_below_max,
            (Cel("double(string(self.min)) < double(string(self.max))", "must be above min", ".max"),),
        ),
    )

    min: PositiveDecimal
    max: PositiveDecimal
    tolerance_percent: Annotated[PercentInt, Field(ge=1)] = 5
    stage_duration: PositiveDuration = Duration("2m")


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


def _limit_fits_the_metric(given: Mapping[str, Any]) -> Iterable[Violation]:
    metric, limit = given.get("metric"), given.get("max")
    # What is no metric or no limit is told by its own field.
    if metric not in set(Metric) or not isinstance(limit, str):
        return
    is_rate = metric == Metric.ERROR_RATE
    if is_rate != limit.endswith("%"):
        wanted = "a percentage such as 1%" if is_rate else "a duration such as 500ms"
        message = f"{shown(limit)} does not fit the metric {metric}"
        yield Violation(path=("max",), message=message, remedy=f"write {wanted}", value=limit)


class Objective(ApiModel):
    """A bound on a percentile of a latency, or on the part of requests that fail."""

    rules = (
        Rule(
            _limit_fits_the_metric,
            (
                Cel(
                    "(self.metric == 'ErrorRate') == self.max.endsWith('%')",
                    "must be a percentage such as 1% for ErrorRate, and a duration such as 500ms for all others",
                    ".max",
                ),
            ),
        ),
    )

    metric: Metric
    percentile: Percentile
    max: Annotated[
        Duration | Percent,
        PlainValidator(_limit),
        WithJsonSchema({"type": "string", "pattern": f"{DURATION_PATTERN}|{PERCENT_PATTERN}", "maxLength": 32}),
    ]


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
    objectives: (
        Annotated[tuple[Objective, ...], ListMap(("metric", "percentile")), Field(min_length=1, max_length=16)] | None
    ) = None
