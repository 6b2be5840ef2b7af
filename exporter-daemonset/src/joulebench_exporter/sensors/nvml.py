"""`nvml`: the energy counters of NVIDIA's boards (Volta and newer), by NVML.

The counter is the board's, in millijoules since the driver was loaded. It moves every 20 to 100 ms, so the sampler
looks for its ticks. One prepared call a read, for one field:

    NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION   the board's
    NVML_FI_DEV_ENERGY, scope module       where only that is there (Grace Hopper: CPU, GPU and memory together)
    power, integrated over time            where there is no counter; labelled so

MIG instances share their board's counter: they are listed with it, and none of them is given energy as its own.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from joulebench_api.contracts.energy import SIMULATED_PRODUCT_NAME, Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo, Partition
from joulebench_exporter.diagnostics import Diagnostics
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.sensors.base import Reading, SensorDevice
from joulebench_exporter.sensors.nvml_diagnostics import Looker
from joulebench_exporter.sensors.nvml_library import Nvml, NvmlCallError

NAME: Final = "nvml"

_USUAL_TICK_SECONDS: Final = 0.1
_PAUSE_NS: Final = 2_000_000_000
_LONG_PAUSE_NS: Final = 60_000_000_000
_SCOPE_GPU: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Which field of NVML is a board's energy, and how much hardware it covers."""

    field: int
    scope_id: int
    scope: Scope
    words: str
    integrated: bool = False


class _Board:
    """What is needed to read one board; made anew when the library was restarted."""

    __slots__ = ("looker", "read")

    def __init__(self, nvml: Nvml, handle: object, source: _Source) -> None:
        fields = nvml.fields(handle, [(source.field, source.scope_id)])
        self.read = fields.narrow_reader() if source.integrated else fields.wide_reader()
        self.looker = Looker(nvml, handle)


class NvmlSensor:
    """All NVIDIA boards of this machine. Raises SensorUnavailableError where there is none."""

    def __init__(self, *, monotonic_ns: Callable[[], int] = time.monotonic_ns, nvml: Nvml | None = None) -> None:
        self._monotonic_ns = monotonic_ns
        self._nvml = nvml or Nvml()
        self._lock = threading.Lock()
        """Held while the library is restarted, and for each look: nobody calls into a library that is going away."""
        self._notes: list[str] = []
        self._sources: dict[str, _Source] = {}
        self._boards: dict[str, _Board] = {}
        self._integrals: dict[str, _Integral] = {}
        self._restarted_ns: int | None = None
        self.driver_version = str(self._nvml.call("nvmlSystemGetDriverVersion"))
        self._devices = self._find()
        if not self._devices:
            self._nvml.close()
            found = f": {'; '.join(self._notes)}" if self._notes else ""
            raise SensorUnavailableError(
                f"NVML (driver {self.driver_version}) shows no board that can be measured{found}",
                remedy="In a container set NVIDIA_VISIBLE_DEVICES=all; see what `nvidia-smi -L` lists.",
            )

    @property
    def name(self) -> str:
        """As on the command line."""
        return NAME

    @property
    def kind(self) -> SensorKind:
        """Of the first board; each device says its own."""
        return self._devices[0].info.sensor_kind

    @property
    def notes(self) -> Sequence[str]:
        """Boards that cannot be measured, or only by their power."""
        return self._notes

    def devices(self) -> Sequence[SensorDevice]:
        """The boards, in NVML's order."""
        return self._devices

    def read(self, device: SensorDevice) -> Reading:
        """The counter in millijoules, or the integral of power in microjoules."""
        return Reading(count=self.counter_of(device)())

    def counter_of(self, device: SensorDevice) -> Callable[[], int]:
        """The same, prepared for one device."""
        uuid, boards = device.info.uuid, self._boards
        integral = self._integrals.get(uuid)

        def count() -> int:
            try:
                read = (boards.get(uuid) or self._board(uuid)).read
                value = read()
            except SensorReadError as error:
                self._recover(uuid, error)
                raise
            return value if integral is None else integral.add(value, now_ns=self._monotonic_ns())

        return count

    def diagnose(self, device: SensorDevice) -> Diagnostics:
        """Power, load, memory, heat and clocks, in some ten calls."""
        with self._lock:
            return self._board(device.info.uuid).looker.look(monotonic_ns=self._monotonic_ns)

    def close(self) -> None:
        """Give the library back."""
        with self._lock:
            self._nvml.close()

    def _board(self, uuid: str) -> _Board:
        board = self._boards.get(uuid)
        if board is None:
            raise SensorReadError(f"board {uuid} is gone")
        return board

    def _find(self) -> list[SensorDevice]:
        devices = []
        for index in range(self._nvml.call("nvmlDeviceGetCount")):
            try:
                device = self._open(index)
            except NvmlCallError as error:
                self._notes.append(f"board {index} cannot be opened: {error.message}")
                continue
            if device is not None:
                devices.append(device)
        return devices

    def _open(self, index: int) -> SensorDevice | None:
        nvml = self._nvml
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        uuid, name = str(nvml.call("nvmlDeviceGetUUID", handle)), str(nvml.call("nvmlDeviceGetName", handle))
        source = self._source(handle)
        if source is None:
            self._notes.append(f"board {index} ({name}, {uuid}) shows neither energy nor power")
            return None
        if source.integrated:
            self._notes.append(f"board {index} ({name}, {uuid}) has no energy counter: its power is summed up instead")
            self._integrals[uuid] = _Integral()
        self._sources[uuid] = source
        self._boards[uuid] = _Board(nvml, handle, source)
        bus = nvml.ask("nvmlDeviceGetPciInfo", handle)
        simulated = name == SIMULATED_PRODUCT_NAME
        info = DeviceInfo(
            uuid=uuid,
            name=name,
            domain=Domain.GPU,
            scope=source.scope,
            sensor=NAME,
            sensor_kind=SensorKind.SIMULATED if simulated else SensorKind.MEASURED,
            source=f"{source.words}, driver {self.driver_version}",
            tick_period_seconds=0.0 if source.integrated else _USUAL_TICK_SECONDS,
            partitions=self._partitions(handle),
            index=index,
            minor=nvml.ask("nvmlDeviceGetMinorNumber", handle),
            pci_bus_id="" if bus is None else str(bus.busId),
            driver_version=self.driver_version,
        )
        return SensorDevice(info=info, counter=_counter(source))

    def _source(self, handle: object) -> _Source | None:
        """The best source of energy that a board has."""
        return next((source for source in _sources(self._nvml) if self._answers(handle, source)), None)

    def _answers(self, handle: object, source: _Source) -> bool:
        (value,) = self._nvml.fields(handle, [(source.field, source.scope_id)]).read()
        return value is not None

    def _partitions(self, handle: object) -> tuple[Partition, ...]:
        mode = self._nvml.ask("nvmlDeviceGetMigMode", handle)
        if mode is None or not mode[0]:
            return ()
        most = self._nvml.ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0
        instances = (self._nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, index) for index in range(most))
        return tuple(
            Partition(
                uuid=str(self._nvml.call("nvmlDeviceGetUUID", instance)),
                name=str(self._nvml.call("nvmlDeviceGetName", instance)),
            )
            for instance in instances
            if instance is not None
        )

    def _recover(self, uuid: str, error: SensorReadError) -> None:
        """After an error that only a new session with the driver can mend: begin one, but not all the time."""
        if isinstance(error, NvmlCallError) and error.code not in self._session_errors():
            return
        now_ns = self._monotonic_ns()
        # A new session holds up the other boards, so one that is lost is not worth it often.
        pause_ns = _PAUSE_NS if len(self._boards) == len(self._devices) or not self._boards else _LONG_PAUSE_NS
        if self._restarted_ns is not None and now_ns - self._restarted_ns < pause_ns:
            if uuid not in self._boards:
                self._reopen(uuid, self._sources[uuid])
            return
        self._restarted_ns = now_ns
        with self._lock:
            self._boards.clear()
            self._nvml.restart()
            for board_uuid, source in self._sources.items():
                self._reopen(board_uuid, source)

    def _reopen(self, uuid: str, source: _Source) -> None:
        try:
            handle = self._nvml.call("nvmlDeviceGetHandleByUUID", uuid.encode())
            self._boards[uuid] = _Board(self._nvml, handle, source)
        except NvmlCallError:
            pass  # still gone: its next read fails, and that is where it is told

    def _session_errors(self) -> tuple[int, ...]:
        numbers = self._nvml.constants
        return (
            numbers.NVML_ERROR_UNINITIALIZED,
            numbers.NVML_ERROR_DRIVER_NOT_LOADED,
            numbers.NVML_ERROR_GPU_IS_LOST,
            numbers.NVML_ERROR_RESET_REQUIRED,
            numbers.NVML_ERROR_NOT_FOUND,
        )


class _Integral:
    """Energy in microjoules from readings of power in milliwatts, by trapezoids."""

    def __init__(self) -> None:
        self._microjoules = 0
        self._remainder = 0
        self._last: tuple[int, int] | None = None

    def add(self, milliwatts: int, *, now_ns: int) -> int:
        """Take a reading; the sum so far."""
        if self._last is not None:
            last_ns, last_milliwatts = self._last
            # mW x ns / 2, of which 2,000,000 make a microjoule
            whole, self._remainder = divmod(
                (milliwatts + last_milliwatts) * (now_ns - last_ns) + self._remainder, 2_000_000
            )
            self._microjoules += whole
        self._last = (now_ns, milliwatts)
        return self._microjoules


def _sources(nvml: Nvml) -> Sequence[_Source]:
    """From best to worst."""
    numbers = nvml.constants
    return (
        _Source(
            field=numbers.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
            scope_id=_SCOPE_GPU,
            scope=Scope.BOARD,
            words="NVML total energy counter of the board",
        ),
        _Source(
            field=numbers.NVML_FI_DEV_ENERGY,
            scope_id=numbers.NVML_POWER_SCOPE_MODULE,
            scope=Scope.MODULE,
            words="NVML energy counter of the module (its CPU and memory included)",
        ),
        _Source(
            field=numbers.NVML_FI_DEV_POWER_INSTANT,
            scope_id=_SCOPE_GPU,
            scope=Scope.BOARD,
            words="NVML instant power of the board, integrated, as it has no energy counter",
            integrated=True,
        ),
    )


def _counter(source: _Source) -> Counter:
    if source.integrated:
        return Counter(update_period_ns=0, integrated=True)
    return Counter(microjoules_per_count=Fraction(1000), find_ticks=True)
