"""What is measured, and how it is split over the queries; and what it costs."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from joulebench_api.contracts.energy import Method
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.decimals import Decimal, FactorDecimal
from joulebench_api.v1alpha1.numbers import PercentInt
from joulebench_api.v1alpha1.texts import CurrencyCode, Duration


class EnergyPolicy(StrEnum):
    """Whether a run may go without energy."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"
    DISABLED = "Disabled"


class EnergyDomain(StrEnum):
    """What can be asked to be measured."""

    GPU = "GPU"
    CPU = "CPU"
    DRAM = "DRAM"


class Energy(ApiModel):
    """What is measured and how it is split. Absent fields: see `joulebench_api.defaults`."""

    policy: EnergyPolicy | None = None
    attribution: Method | None = None
    domains: Annotated[tuple[EnergyDomain, ...], ListSet(), Field(min_length=1, max_length=3)] | None = None
    idle_baseline: Duration | None = None
    """How long the idle server is measured before the first question, unless policy is Disabled; 0s for not at all."""
    min_coverage_percent: PercentInt | None = None
    """Part of the measured window that must be covered by ticks; binding only with policy Required."""


class Cost(ApiModel):
    """Prices that joules and hours are multiplied with."""

    currency: CurrencyCode | None = None
    electricity_per_kwh: Annotated[Decimal | None, Field(alias="electricityPerKWh")] = None
    accelerator_per_hour: Decimal | None = None
    carbon_grams_per_kwh: Annotated[Decimal | None, Field(alias="carbonGramsPerKWh")] = None
    pue: FactorDecimal | None = None
    """Power usage effectiveness of the data centre."""
