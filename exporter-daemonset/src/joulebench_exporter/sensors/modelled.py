"""`modelled`: energy from CPU time, for machines that have no counter to read. An estimate, and labelled as one.

    energy = uptime x idle watts + busy CPU time x watts per core        (since boot, for the whole machine)

Cumulative since boot, so that a restart of the exporter loses nothing. A core here is a logical one (a vCPU).
The default coefficients are the averages over AWS's server processors in the Cloud Carbon Footprint methodology
(https://www.cloudcarbonfootprint.org/docs/methodology, "Compute": 0.74 W at rest and 3.5 W at full load per vCPU).
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.errors import BadOptionError, SensorReadError
from joulebench_exporter.sensors.base import Reading, SensorDevice

NAME: Final = "modelled"
IDLE_WATTS_VARIABLE: Final = "JOULEBENCH_MODELLED_IDLE_WATTS"
WATTS_PER_CORE_VARIABLE: Final = "JOULEBENCH_MODELLED_WATTS_PER_CORE"
IDLE_WATTS_PER_CORE: Final = 0.74
BUSY_WATTS_PER_CORE: Final = 2.76

_STAT = Path("/proc/stat")
_MAX_WATTS = 100_000.0
_NS_PER_SECOND = 1_000_000_000

BusyNs = Callable[[], int]
"""CPU time, summed over all cores since boot, in which they did something; in nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """The model's two numbers, in microwatts so that its sums are exact."""

    idle_microwatts: int
    """Of the whole machine at rest."""
    microwatts_per_core: int
    """What one busy core adds."""
    stated_by_user: bool

    def microjoules(self, *, uptime_ns: int, busy_ns: int) -> int:
        """Energy since boot."""
        return (uptime_ns * self.idle_microwatts + busy_ns * self.microwatts_per_core) // _NS_PER_SECOND

    def in_words(self) -> str:
        """Formula, numbers and where they come from."""
        origin = (
            "stated by the user"
            if self.stated_by_user
            else "Cloud Carbon Footprint averages, 0.74 W idle and 3.5 W busy per logical core"
        )
        idle, busy = self.idle_microwatts / 1e6, self.microwatts_per_core / 1e6
        return (
            f"modelled, not measured: {idle:g} W x uptime + {busy:g} W x busy core time of the whole machine ({origin})"
        )


def coefficients(
    *,
    idle_watts: float | None = None,
    watts_per_core: float | None = None,
    logical_cores: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Coefficients:
    """Choose each coefficient: the option, else the environment variable, else the default.

    Raises BadOptionError for what is no number of watts.
    """
    idle = _stated("--idle-watts", idle_watts, IDLE_WATTS_VARIABLE, environment)
    busy = _stated("--watts-per-core", watts_per_core, WATTS_PER_CORE_VARIABLE, environment)
    cores = logical_cores or os.cpu_count() or 1
    return Coefficients(
        idle_microwatts=round((IDLE_WATTS_PER_CORE * cores if idle is None else idle) * 1e6),
        microwatts_per_core=round((BUSY_WATTS_PER_CORE if busy is None else busy) * 1e6),
        stated_by_user=idle is not None or busy is not None,
    )


def _stated(option: str, value: float | None, variable: str, environment: Mapping[str, str]) -> float | None:
    name, text = (option, str(value)) if value is not None else (variable, environment.get(variable))
    if text is None:
        return None
    try:
        watts = float(text)
    except ValueError:
        watts = -1.0
    if not 0.0 <= watts <= _MAX_WATTS:
        raise BadOptionError(f"{name} is {text!r}", remedy="Give watts as a number that is not negative, such as 12.5.")
    return watts


def parse_busy_ns(stat: str, *, ticks_per_second: int) -> int:
    """Busy CPU time in the text of /proc/stat (proc(5)).

    Waiting for I/O is idle, and stolen time was spent by other machines of the same host. Guests' time is
    already in `user` and `nice`. Raises ValueError where there is no line for all CPUs.
    """
    name, user, nice, system, _idle, _iowait, irq, softirq, *_ = stat.partition("\n")[0].split()
    if name != "cpu":
        raise ValueError(f"its first line begins with {name!r}, not with 'cpu'")
    busy_ticks = int(user) + int(nice) + int(system) + int(irq) + int(softirq)
    return busy_ticks * _NS_PER_SECOND // ticks_per_second


def linux_busy_ns(read_stat: Callable[[], str] = _STAT.read_text) -> BusyNs:
    """Busy CPU time from /proc/stat."""
    ticks_per_second = os.sysconf("SC_CLK_TCK")

    def busy_ns() -> int:
        try:
            return parse_busy_ns(read_stat(), ticks_per_second=ticks_per_second)
        except (OSError, ValueError) as error:
            raise SensorReadError(f"{_STAT}: {error}") from error

    return busy_ns


def psutil_busy_ns() -> BusyNs:
    """Busy CPU time where there is no /proc."""
    import psutil  # noqa: PLC0415 - used, and installed, only where there is no /proc

    def busy_ns() -> int:
        times = psutil.cpu_times()
        return round(float(times.user + times.nice + times.system) * _NS_PER_SECOND)

    return busy_ns


def _platform_busy_ns() -> BusyNs:
    return linux_busy_ns() if sys.platform == "linux" else psutil_busy_ns()


class ModelledSensor:
    """One device: the whole machine."""

    def __init__(
        self,
        *,
        boot_id: str,
        coefficients: Coefficients,
        uptime_ns: Callable[[], int],
        busy_ns: BusyNs | None = None,
    ) -> None:
        self._coefficients = coefficients
        self._uptime_ns = uptime_ns
        self._busy_ns = busy_ns or _platform_busy_ns()
        info = DeviceInfo(
            uuid=f"{NAME}-machine-{boot_id[:8]}",
            name="machine",
            domain=Domain.CPU,
            scope=Scope.MACHINE,
            sensor=NAME,
            sensor_kind=SensorKind.MODELLED,
            source=coefficients.in_words(),
            tick_period_seconds=0.0,
        )
        self._device = SensorDevice(info=info, counter=Counter(update_period_ns=0))

    @property
    def name(self) -> str:
        """As on the command line."""
        return NAME

    @property
    def kind(self) -> SensorKind:
        """An estimate."""
        return SensorKind.MODELLED

    @property
    def notes(self) -> Sequence[str]:
        """None: everything to know stands in the device's source."""
        return ()

    def devices(self) -> Sequence[SensorDevice]:
        """The machine."""
        return (self._device,)

    def read(self, device: SensorDevice) -> Reading:  # noqa: ARG002 - there is only one
        """Compute the energy since boot, in microjoules."""
        busy_ns = self._busy_ns()
        return Reading(count=self._coefficients.microjoules(uptime_ns=self._uptime_ns(), busy_ns=busy_ns))

    def close(self) -> None:
        """Nothing is held open."""
