"""What a device shows beside its energy: power, load, memory, heat, clocks. For people and checks, never for joules."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

# Bits of NVML's nvmlClocksEventReason... (nvml.h); the names are those of the metric's label.
CLOCK_REASONS: Final = {
    0x1: "gpu_idle",
    0x2: "applications_clocks",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
    0x100: "display_clock",
}
"""Why the clocks are not at their highest."""

THROTTLING: Final = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
"""The reasons by which a device is held back; the others are somebody's choice, or rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """One look at one device. None: the device does not tell."""

    time_ns: int
    """CLOCK_MONOTONIC at the end of the look."""
    power_watts: float | None = None
    """Now, or over the shortest time that the device averages."""
    power_average_watts: float | None = None
    """Over a second or so, where the device has such a figure beside the other."""
    power_limit_watts: float | None = None
    utilisation_percent: int | None = None
    memory_utilisation_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_celsius: int | None = None
    clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    clock_reasons: int | None = None
    """Bits of CLOCK_REASONS."""
    fan_percent: int | None = None

    def known(self) -> Iterable[tuple[str, float | int]]:
        """Names and values of what the device tells."""
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and one.name != "time_ns":
                yield one.name, value


_BOUNDS: Final = {
    "power_watts": (0, 100_000),
    "power_average_watts": (0, 100_000),
    "power_limit_watts": (0, 100_000),
    "utilisation_percent": (0, 100),
    "memory_utilisation_percent": (0, 100),
    "memory_used_bytes": (0, 1 << 50),
    "memory_total_bytes": (0, 1 << 50),
    "temperature_celsius": (-40, 150),
    "clock_mhz": (0, 20_000),
    "memory_clock_mhz": (0, 50_000),
    "fan_percent": (0, 200),
}


def suspects(look: Diagnostics) -> list[str]:
    """The fields whose values cannot be true. They are marked, never dropped."""
    found = [name for name, value in look.known() if name in _BOUNDS and not _within(value, _BOUNDS[name])]
    used, total = look.memory_used_bytes, look.memory_total_bytes
    if used is not None and total is not None and used > total and "memory_used_bytes" not in found:
        found.append("memory_used_bytes")
    return found


def reason_names(bits: int) -> list[str]:
    """The names of all reasons in a bit mask; unknown bits are named by their number."""
    known = [name for bit, name in CLOCK_REASONS.items() if bits & bit]
    unknown = bits & ~sum(CLOCK_REASONS)
    return [*known, hex(unknown)] if unknown else known


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
