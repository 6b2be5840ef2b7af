"""What is known about a device whose energy is measured, and about who has it."""

from dataclasses import dataclass, field

from joulebench_api.contracts.energy import Domain, Scope, SensorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A part of a device that can be given away alone (a MIG instance). It has no energy counter of its own."""

    uuid: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Owner:
    """A container that a device, or a part of it, was given to."""

    namespace: str
    pod: str
    container: str
    partition: str = ""
    """UUID of the part; empty: the whole device."""
    claim: str = ""
    """Name of the ResourceClaim, where the device came by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Who has a device."""

    containers: tuple[Owner, ...] = ()
    known: bool = False
    """Whether the kubelet has told. False: nobody knows, which is not the same as nobody."""
    problem: str = ""
    """Why this may be out of date, or is not known at all."""
    since_ns: int | None = field(default=None, compare=False)
    """When the exporter learned it, by its machine's CLOCK_MONOTONIC; None: it has not learned anything yet."""

    @property
    def shared(self) -> bool:
        """Whether several containers have it: its energy is not any one's own."""
        return len({(one.namespace, one.pod, one.container) for one in self.containers}) > 1


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
    partitions: tuple[Partition, ...] = ()
    owners: Owners = Owners()
    """When this was asked; batches of ticks carry the changes."""
    index: int | None = None
    """The device's number among its kind on this machine, as its driver counts."""
    minor: int | None = None
    """N of /dev/nvidiaN, which need not be the index."""
    pci_bus_id: str = ""
    driver_version: str = ""
