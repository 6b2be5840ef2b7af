"""What is known about a device whose energy is measured."""

from dataclasses import dataclass

from joulebench_api.contracts.energy import Domain, Scope, SensorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """One energy counter and the hardware behind it."""

    uuid: str
    name: str
    domain: Domain
    scope: Scope
    sensor: str
    sensor_kind: SensorKind
    source: str
    """In words: which counter, and the coefficients where it is a model."""
    tick_period_seconds: float
    """Usual time between two ticks."""
    counter_origin_uj: int | None = None
    """What the hardware's own counter said at the first tick; None where it does not outlive the exporter."""
    counter_wraps_uj: int | None = None
    """Where that counter begins at 0 again; None: never in practice."""
