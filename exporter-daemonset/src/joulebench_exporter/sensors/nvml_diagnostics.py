"""What NVML tells about a board beside its energy."""

from collections.abc import Callable
from typing import Any, Final

from joulebench_exporter.diagnostics import Diagnostics
from joulebench_exporter.sensors.nvml_library import Nvml

_CLOCK_REASON_CALLS: Final = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
"""The new name, and that of drivers before 535."""


class Looker:
    """Looks at one board. A call that the board has once refused as unsupported is not made again."""

    def __init__(self, nvml: Nvml, handle: object) -> None:
        numbers = nvml.constants
        self._nvml = nvml
        self._handle = handle
        self._refused: set[str] = set()
        self._power = nvml.fields(
            handle, [(numbers.NVML_FI_DEV_POWER_INSTANT, 0), (numbers.NVML_FI_DEV_POWER_AVERAGE, 0)]
        )

    def look(self, *, monotonic_ns: Callable[[], int]) -> Diagnostics:
        """One look. Raises NvmlCallError where the board does not answer at all."""
        numbers = self._nvml.constants
        instant_mw, average_mw = self._power.read()
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return Diagnostics(
            time_ns=monotonic_ns(),
            power_watts=_watts(instant_mw),
            power_average_watts=_watts(average_mw),
            power_limit_watts=_watts(self._ask("nvmlDeviceGetEnforcedPowerLimit")),
            utilisation_percent=None if rates is None else rates.gpu,
            memory_utilisation_percent=None if rates is None else rates.memory,
            memory_used_bytes=None if memory is None else memory.used,
            memory_total_bytes=None if memory is None else memory.total,
            temperature_celsius=self._ask("nvmlDeviceGetTemperature", numbers.NVML_TEMPERATURE_GPU),
            clock_mhz=self._ask("nvmlDeviceGetClockInfo", numbers.NVML_CLOCK_SM),
            memory_clock_mhz=self._ask("nvmlDeviceGetClockInfo", numbers.NVML_CLOCK_MEM),
            clock_reasons=self._clock_reasons(),
            fan_percent=self._ask("nvmlDeviceGetFanSpeed"),
        )

    def _clock_reasons(self) -> int | None:
        answers = (self._ask(call) for call in _CLOCK_REASON_CALLS)
        return next((answer for answer in answers if answer is not None), None)

    def _ask(self, call: str, *arguments: int) -> Any:
        key = f"{call}{arguments}"
        if key in self._refused:
            return None
        answer = self._nvml.ask(call, self._handle, *arguments)
        if answer is None:
            self._refused.add(key)
        return answer


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
