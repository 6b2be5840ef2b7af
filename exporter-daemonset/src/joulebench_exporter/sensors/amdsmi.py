"""`amdsmi`: the energy accumulators of AMD's boards, by AMD SMI.

`amdsmi_get_energy_count` gives a 64-bit count and what one count is worth in microjoules, such as 15.3 (amdsmi.h). It
is not there in guests of a hypervisor. How often a board moves it is not documented, so the sampler reads it on its
grid, and each tick lies between two reads.
"""

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.diagnostics import Diagnostics
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.sensors.amdsmi_library import AmdSmi, AmdSmiCallError, told
from joulebench_exporter.sensors.base import Reading, SensorDevice

NAME: Final = "amdsmi"

_ENERGY: Final = "amdsmi_get_energy_count"
_COUNTS: Final = ("energy_accumulator", "power")
"""The count's name, and the one that it had before ROCm 6.2."""
_NO_COUNT: Final = 0
"""What the accumulator shows where there is none, such as that of the second die of a board."""


class AmdSmiSensor:
    """All AMD boards of this machine. Raises SensorUnavailableError where there is none."""

    def __init__(self, *, monotonic_ns: Callable[[], int] = time.monotonic_ns, library: AmdSmi | None = None) -> None:
        self._monotonic_ns = monotonic_ns
        self._library = library or AmdSmi()
        self._notes: list[str] = []
        self._handles: dict[str, Any] = {}
        self._devices = self._find()
        if not self._devices:
            self._library.close()
            found = f": {'; '.join(self._notes)}" if self._notes else ""
            raise SensorUnavailableError(
                f"AMD SMI shows no board that can be measured{found}",
                remedy="See what `amd-smi metric --energy` says; guests of a hypervisor have no energy counter.",
            )

    @property
    def name(self) -> str:
        """As on the command line."""
        return NAME

    @property
    def kind(self) -> SensorKind:
        """From a counter of the hardware."""
        return SensorKind.MEASURED

    @property
    def notes(self) -> Sequence[str]:
        """Boards that cannot be measured."""
        return self._notes

    def devices(self) -> Sequence[SensorDevice]:
        """The boards, in AMD SMI's order."""
        return self._devices

    def read(self, device: SensorDevice) -> Reading:
        """The accumulator, in its own counts. Raises SensorReadError."""
        return Reading(count=_count(self._library.call(_ENERGY, self._handles[device.info.uuid])))

    def diagnose(self, device: SensorDevice) -> Diagnostics:
        """Power, load, memory, heat and clocks. Raises SensorReadError where the board tells nothing of these."""
        handle, library = self._handles[device.info.uuid], self._library
        power = library.ask("amdsmi_get_power_info", handle)
        activity = library.ask("amdsmi_get_gpu_activity", handle)
        vram = library.number("AmdSmiMemoryType", "VRAM")
        look = Diagnostics(
            time_ns=self._monotonic_ns(),
            power_watts=told(power, "socket_power", "current_socket_power"),
            power_average_watts=told(power, "average_socket_power"),
            utilisation_percent=told(activity, "gfx_activity"),
            memory_utilisation_percent=told(activity, "umc_activity"),
            memory_used_bytes=library.ask("amdsmi_get_gpu_memory_usage", handle, vram),
            memory_total_bytes=library.ask("amdsmi_get_gpu_memory_total", handle, vram),
            temperature_celsius=library.ask(
                "amdsmi_get_temp_metric",
                handle,
                library.number("AmdSmiTemperatureType", "HOTSPOT"),
                library.number("AmdSmiTemperatureMetric", "CURRENT"),
            ),
            clock_mhz=self._clock_mhz(handle, "GFX"),
            memory_clock_mhz=self._clock_mhz(handle, "MEM"),
        )
        if not list(look.known()):
            raise SensorReadError(f"board {device.info.uuid} tells nothing beside its energy")
        return look

    def close(self) -> None:
        """Give the library back."""
        self._library.close()

    def _clock_mhz(self, handle: Any, which: str) -> int | None:
        answer = self._library.ask("amdsmi_get_clock_info", handle, self._library.number("AmdSmiClkType", which))
        clock: int | None = told(answer, "clk", "cur_clk")
        return clock

    def _find(self) -> list[SensorDevice]:
        devices = []
        for index, handle in enumerate(self._library.call("amdsmi_get_processor_handles")):
            try:
                devices.append(self._open(index, handle))
            except AmdSmiCallError as error:
                self._notes.append(f"board {index} cannot be measured: {error.message}")
        return devices

    def _open(self, index: int, handle: Any) -> SensorDevice:
        library = self._library
        energy = library.call(_ENERGY, handle)
        if _count(energy) == _NO_COUNT:
            raise AmdSmiCallError("its energy accumulator shows 0: another one counts for it, or none")
        resolution = _exact(energy["counter_resolution"])
        if resolution <= 0:
            raise AmdSmiCallError(f"its energy accumulator counts in units of {resolution} microjoules")
        uuid = str(library.call("amdsmi_get_gpu_device_uuid", handle))
        if uuid in self._handles:
            raise AmdSmiCallError(f"its identity {uuid} is that of another one")
        self._handles[uuid] = handle
        info = DeviceInfo(
            uuid=uuid,
            name=_name(library, handle),
            domain=Domain.GPU,
            scope=Scope.BOARD,
            sensor=NAME,
            sensor_kind=SensorKind.MEASURED,
            source=f"AMD SMI energy accumulator of the board, {float(resolution):g} uJ a count",
            tick_period_seconds=0.0,
            index=index,
            pci_bus_id=str(library.ask("amdsmi_get_gpu_device_bdf", handle) or ""),
            driver_version=str(told(library.ask("amdsmi_get_gpu_driver_info", handle), "driver_version") or ""),
        )
        return SensorDevice(info=info, counter=Counter(microjoules_per_count=resolution))


def _count(answer: Any) -> int:
    count = told(answer, *_COUNTS)
    if count is None:
        raise AmdSmiCallError(f"{_ENERGY} tells no count")
    return int(count)


def _exact(resolution: float) -> Fraction:
    """The library has it as a 32-bit float: 15.3 arrives as 15.300000190734863. Seven digits are what it can hold."""
    return Fraction(f"{resolution:.7g}")


def _name(library: AmdSmi, handle: Any) -> str:
    names = (
        told(library.ask("amdsmi_get_gpu_asic_info", handle), "market_name"),
        told(library.ask("amdsmi_get_gpu_board_info", handle), "product_name"),
    )
    return next((str(name) for name in names if name), "AMD GPU")
