"""The simulated accelerators: writes every step's energy into their device files."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_api.contracts.device_file import DeviceFileWriter, DeviceIdentity, DeviceState, EnergyPoint

_SHORTEST_NS: Final = 250_000
"""Steps that follow each other faster are shown together, so that the file's ring covers a second at least."""
_NS_UW: Final = 1_000_000
_NAMESPACE: Final = uuid.UUID("6f1c0d5e-6a0b-4c0e-9d38-2b7a3f6f5f10")


def identity(path: Path, *, number: int, name: str, memory_bytes: int, device_id: str | None = None) -> DeviceIdentity:
    """The same file is the same device again after a restart; with an id (and its number) wherever its file is."""
    known_by = str(path.absolute()) if device_id is None else f"{device_id}/{number}"
    return DeviceIdentity(
        uuid=f"GPU-{uuid.uuid5(_NAMESPACE, known_by)}",
        name=name,
        pci_bus_id=f"00000000:{number + 1:02X}:00.0",
        memory_bytes=memory_bytes,
    )


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the devices are, for the diagnostics they show."""

    utilisation_percent: int
    memory_used_bytes: int


class Devices:
    """All devices of one engine. They share each step's work equally."""

    def __init__(self, writers: Sequence[DeviceFileWriter], *, resting_mw: int) -> None:
        self._devices = [_Device(writer, resting_mw) for writer in writers]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._devices)

    def step(self, *, start_ns: int, end_ns: int, active_uj: int, load: Load) -> None:
        """Book a step that takes from `start_ns` to `end_ns` and costs `active_uj` on top of resting."""
        for index, device in enumerate(self._devices):
            part_uj = (active_uj + index) // len(self._devices)
            device.step(start_ns, end_ns, part_uj, load)

    def rest(self, now_ns: int) -> None:
        """Nothing is computed from now on."""
        for device in self._devices:
            device.rest(now_ns)

    def close(self) -> None:
        """Give the files back; the devices go on resting."""
        for device in self._devices:
            device.close()


class _Device:
    """One device since the last point it has shown: the time until which it is booked, and what was computed."""

    def __init__(self, writer: DeviceFileWriter, resting_mw: int) -> None:
        self._writer = writer
        self._resting_mw = resting_mw
        self._time_ns = writer.newest[0]
        self._active_uj = 0

    def step(self, start_ns: int, end_ns: int, active_uj: int, load: Load) -> None:
        start_ns = max(start_ns, self._time_ns)
        before = self._point(start_ns)
        self._time_ns = max(start_ns, end_ns)
        self._active_uj += active_uj
        if self._time_ns - self._writer.newest[0] < _SHORTEST_NS:
            return
        duration_ns = self._time_ns - start_ns
        power_mw = self._resting_mw + (active_uj * _NS_UW // duration_ns if duration_ns else 0)
        self._show([before, self._point(self._time_ns)], power_mw=power_mw, load=load)

    def rest(self, now_ns: int) -> None:
        self._time_ns = max(now_ns, self._time_ns)
        self._show([self._point(self._time_ns)], power_mw=self._resting_mw, load=Load(0, 0))

    def close(self) -> None:
        self._writer.close()

    def _point(self, time_ns: int) -> EnergyPoint:
        shown_ns, shown_uj = self._writer.newest
        return time_ns, shown_uj + (time_ns - shown_ns) * self._resting_mw // _NS_UW + self._active_uj

    def _show(self, points: Sequence[EnergyPoint], *, power_mw: int, load: Load) -> None:
        time_ns, energy_uj = points[0]
        state = DeviceState(
            time_ns=time_ns,
            energy_mj=energy_uj // 1000,
            power_mw=power_mw,
            resting_power_mw=self._resting_mw,
            memory_used_bytes=load.memory_used_bytes,
            utilisation_percent=load.utilisation_percent,
        )
        self._writer.write(state, points=points)
        self._active_uj = 0
