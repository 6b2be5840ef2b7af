"""`simulated`: the counters of simulated devices, with the rhythm of real ones. No hardware is involved.

The simulator writes each device's true energy into a device file (`joulebench_api.contracts.device_file`); of it this
sensor shows only what a counter would. Cumulative, so that a restart of the exporter loses nothing.
"""

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from joulebench_api.contracts.device_file import DeviceFileError, DeviceFileReader
from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.diagnostics import Diagnostics
from joulebench_exporter.errors import BadOptionError, SensorReadError, SensorUnavailableError
from joulebench_exporter.rhythm import Rhythm
from joulebench_exporter.sensors.base import Reading, SensorDevice

NAME: Final = "simulated"
_MICROJOULES: Final = Fraction(1000)  # counts are millijoules


class SimulatedSensor:
    """One device a file."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        rhythm: Rhythm,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        ahead_ns: int = 0,
    ) -> None:
        """`ahead_ns`: by how much `monotonic_ns` is ahead of the clock that the files were written by.

        Raises BadOptionError without any path, SensorUnavailableError for what is no device file.
        """
        if not paths:
            raise BadOptionError(
                "the sensor 'simulated' needs device files",
                remedy="Give --device-file once for each device, as to joulebench-simulator.",
            )
        self._rhythm = rhythm
        self._monotonic_ns = monotonic_ns
        self._ahead_ns = ahead_ns
        self._readers = {}
        self._devices: list[SensorDevice] = []
        for number, path in enumerate(paths):
            reader = _open(path)
            device = _device(reader, rhythm)
            self._devices.append(device)
            self._readers[device.info.uuid] = (number, reader)

    @property
    def name(self) -> str:
        """As on the command line."""
        return NAME

    @property
    def kind(self) -> SensorKind:
        """Nothing was measured."""
        return SensorKind.SIMULATED

    @property
    def notes(self) -> Sequence[str]:
        """None: everything to know stands in the devices' source."""
        return ()

    def devices(self) -> Sequence[SensorDevice]:
        """In the order of the files."""
        return self._devices

    def read(self, device: SensorDevice) -> Reading:
        """What the counter shows now, in millijoules. Raises SensorReadError."""
        number, reader = self._readers[device.info.uuid]
        try:
            shown_ns = self._rhythm.shown_ns(self._monotonic_ns() - self._ahead_ns, device=number)
            energy_uj = reader.energy_uj_at(shown_ns)
            power_mw = reader.state().power_mw
        except DeviceFileError as error:
            raise SensorReadError(error.message) from error
        return Reading(count=energy_uj // 1000, power_watts=power_mw / 1000)

    def diagnose(self, device: SensorDevice) -> Diagnostics:
        """What the device file shows beside the energy. Raises SensorReadError."""
        _, reader = self._readers[device.info.uuid]
        try:
            state = reader.state()
        except DeviceFileError as error:
            raise SensorReadError(error.message) from error
        identity = reader.identity
        return Diagnostics(
            time_ns=self._monotonic_ns(),
            power_watts=state.power_mw / 1000,
            power_limit_watts=identity.power_limit_mw / 1000 if identity.power_limit_mw else None,
            utilisation_percent=state.utilisation_percent,
            memory_utilisation_percent=state.memory_utilisation_percent,
            memory_used_bytes=state.memory_used_bytes,
            memory_total_bytes=identity.memory_bytes or None,
            temperature_celsius=state.temperature_celsius,
            clock_mhz=state.clock_mhz,
            memory_clock_mhz=state.memory_clock_mhz,
            clock_reasons=state.clock_reasons,
        )

    def close(self) -> None:
        """Give the files back."""
        for _, reader in self._readers.values():
            reader.close()


def _device(reader: DeviceFileReader, rhythm: Rhythm) -> SensorDevice:
    info = DeviceInfo(
        uuid=reader.identity.uuid,
        name=reader.identity.name,
        domain=Domain.GPU,
        scope=Scope.BOARD,
        sensor=NAME,
        sensor_kind=SensorKind.SIMULATED,
        source=_in_words(rhythm),
        tick_period_seconds=rhythm.tick_ns / 1e9,
    )
    # As of a real board, its period is all that may be known: when it moved lies between two reads.
    counter = Counter(microjoules_per_count=_MICROJOULES, update_period_ns=None if rhythm.tick_ns else 0)
    return SensorDevice(info=info, counter=counter)


def _in_words(rhythm: Rhythm) -> str:
    times = {"tick": rhythm.tick_ns, "phase": rhythm.phase_ns, "delay": rhythm.delay_ns, "jitter": rhythm.jitter_ns}
    shown = ", ".join(f"{name} {value / 1e6:g} ms" for name, value in times.items())
    return f"simulated, no hardware: the counter of a device file ({shown})"


def _open(path: Path) -> DeviceFileReader:
    try:
        return DeviceFileReader(path)
    except DeviceFileError as error:
        raise SensorUnavailableError(
            error.message, remedy="Start joulebench-simulator with the same --device-file."
        ) from error
