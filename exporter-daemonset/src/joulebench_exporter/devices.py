"""What is known about a device whose energy is measured."""

from dataclasses import dataclass

from joulebench_api.contracts.energy import Domain, Scope, SensorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A part of a device that can be given away alone (a MIG instance). It has no energy counter of its own."""

    uuid: str
    name: str


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
    partitions: tuple[Partition, ...] = ()
    index: int | None = None
    """The device's number among its kind on this machine, as its driver counts."""
    pci_bus_id: str = ""
    driver_version: str = ""
