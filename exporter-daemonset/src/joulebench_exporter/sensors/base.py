"""The one interface of all sensors.

A sensor only reads. What a sequence of reads means (ticks, gaps, wraps, resets) is the ledger's; when to read is the
sampler's. So a new sensor is a list of devices and a `read`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from joulebench_api.contracts.energy import SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.diagnostics import Diagnostics


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorDevice:
    """A device and what its counter's numbers mean.

    `info.tick_period_seconds` is the sensor's own period, 0 where the counter moves (nearly) all the time; the sampler
    raises it to its own.
    """

    info: DeviceInfo
    counter: Counter


@dataclass(slots=True, kw_only=True)
class Reading:
    """One read of one counter, in raw counts, with the power that came along. None: not known."""

    count: int
    power_watts: float | None = None


class Sensor(Protocol):
    """A source of energy readings."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def kind(self) -> SensorKind:
        """Whether its joules are measured, modelled or simulated."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of its numbers should know, such as counters that could not be opened."""
        ...

    def devices(self) -> Sequence[SensorDevice]:
        """All devices, in a fixed order."""
        ...

    def read(self, device: SensorDevice) -> Reading:
        """Read one device's counter now. Raises SensorReadError; called from the sampler's thread only."""
        ...

    def close(self) -> None:
        """Give back what the sensor holds."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A sensor that is read so often that its reads are prepared."""

    def counter_of(self, device: SensorDevice) -> Callable[[], int]:
        """A function that reads one device's counter as `read` does, with fewer steps in between."""
        ...


@runtime_checkable
class Diagnosing(Protocol):
    """A sensor whose devices show more than their energy."""

    def diagnose(self, device: SensorDevice) -> Diagnostics:
        """Look at one device now. What it does not tell is None. Raises SensorReadError; called from another thread."""
        ...
