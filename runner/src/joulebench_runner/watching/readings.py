"""From a device's ticks to what people look at: watts now, mean watts, joules since the start. Pure."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from joulebench_exporter.client import DeviceInfo, TickBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """What is known of a device beside its energy; None where nobody tells."""

    utilisation_percent: float | None = None
    memory_bytes: int | None = None
    """In use."""
    temperature_celsius: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One device at one moment. Energy counts from the start of the watching."""

    time: str
    """RFC 3339, UTC."""
    device: str
    name: str
    kind: str
    utilisation_percent: float | None
    memory_bytes: int | None
    temperature_celsius: float | None
    power_watts: float | None
    """Mean since the reading before; None until two ticks were seen."""
    mean_watts: float | None
    """Mean since the start."""
    energy_joules: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values by field."""
        return asdict(self)


CSV_FIELDS: Final = tuple(name for name in Reading.__dataclass_fields__ if name != "mean_watts")


@dataclass(slots=True)
class _Tick:
    time_ns: int
    energy_mj: int


class DeviceMeter:
    """Follows one device. Times are the exporter's."""

    def __init__(self, info: DeviceInfo, *, start_ns: int) -> None:
        """`start_ns`: ticks before it only say where the counter stood when the watching began."""
        self.info = info
        self._start_ns = start_ns
        self._first: _Tick | None = None
        self._last: _Tick | None = None
        self._read: _Tick | None = None
        """The last tick of the reading before."""
        self._watts: float | None = None
        self._own: Diagnostics | None = None
        """What the device itself told last."""

    def add(self, batch: TickBatch) -> None:
        """Take in ticks of this device."""
        for time_ns, energy_mj in zip(batch.time_ns, batch.energy_mj, strict=True):
            tick = _Tick(time_ns, energy_mj)
            if time_ns <= self._start_ns or self._first is None:
                self._first = self._read = tick
            self._last = tick
        if batch.look is not None:
            look = batch.look
            self._own = Diagnostics(
                utilisation_percent=look.utilisation_percent,
                memory_bytes=look.memory_used_bytes,
                temperature_celsius=look.temperature_celsius,
            )

    def reading(self, *, realtime_ns: int, diagnostics: Diagnostics) -> Reading:
        """How the device stands; begins the interval of the next reading.

        `diagnostics` are those of a device that tells nothing itself.
        """
        known = self._own or diagnostics
        watts = _watts(self._read, self._last)
        # A slow counter need not have ticked since the last reading; its power then is what it was.
        self._watts = self._watts if watts is None else watts
        self._read = self._last
        return Reading(
            time=_text(realtime_ns),
            device=self.info.uuid,
            name=self.info.name,
            kind=self.info.sensor_kind.value,
            utilisation_percent=known.utilisation_percent,
            memory_bytes=known.memory_bytes,
            temperature_celsius=known.temperature_celsius,
            power_watts=self._watts,
            mean_watts=_watts(self._first, self._last),
            energy_joules=self.energy_joules,
        )

    @property
    def energy_joules(self) -> float | None:
        """Since the start; None before the first tick."""
        if self._first is None or self._last is None:
            return None
        return (self._last.energy_mj - self._first.energy_mj) / 1000


def _watts(start: _Tick | None, end: _Tick | None) -> float | None:
    if start is None or end is None or end.time_ns <= start.time_ns:
        return None
    return (end.energy_mj - start.energy_mj) * 1e6 / (end.time_ns - start.time_ns)


def _text(realtime_ns: int) -> str:
    moment = datetime.fromtimestamp(realtime_ns / 1e9, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
