"""The device file: what a simulated accelerator shows of itself, in memory that several programs map.

Whoever simulates a device writes its true energy; readers (the exporter's `simulated` sensor, the C stub of NVML) make
a counter of it, with the ticks and the delay of a real one. True energy is a curve of straight lines: the last points
of it lie in a ring, and the newest may lie in the future (the end of a step that has just begun). After the newest
point the device draws its resting power, also when its writer is gone.

    E(t) = energy between the two points around t, by straight line;  before the oldest: the oldest's;
           after the newest: newest.energy_uj + (t - newest.time_ns) x resting_power_mw / 1,000,000

One file a device, `<anything>.device`. Little-endian, version 1, 4,096 + 4,096 x 16 = 69,632 bytes:

    offset  type      what
         0  char[8]   magic "JBDEVICE"; the file is whole when it appears under its name
         8  u32       version, 1
        12  u32       offset of the points, 4096
        16  u32       number of points in the ring, 4096
        24  u64       memory in bytes
        32  u64       most power in mW (the board's limit)
        64  char[96]  product name, UTF-8, zero-filled
       160  char[64]  UUID, such as GPU-00000000-0000-0000-0000-000000000000, zero-filled
       224  char[32]  PCI bus id, such as 00000000:01:00.0, zero-filled
    from here on it changes:
       256  u64       sequence: odd while the writer writes
       264  u64       time_ns of these fields, CLOCK_MONOTONIC
       272  u64       energy_mj: E(time_ns) in whole mJ
       280  u64       power_mw now
       288  u64       resting_power_mw: the power after the newest point
       296  u64       memory used in bytes
       304  u32       utilisation in percent
       308  u32       utilisation of the memory's bandwidth in percent
       312  i32       temperature in degrees Celsius
       316  u32       clock of the processors in MHz
       320  u32       clock of the memory in MHz
       328  u64       reasons for lower clocks, bits as in NVML (nvmlClocksEventReason...)
       336  u64       points written ever: the newest lies at index (this - 1) % ring; times never fall
      4096  points    {u64 time_ns, u64 energy_uj} each; of two with the same time the later one counts from then on

Sequence lock: a reader reads `sequence` (odd: again), what it needs, then `sequence` once more (changed: again), with
acquire order. The writer is one process; each field is stored with one aligned store, in program order.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from joulebench_api.errors import ApiError

MAGIC: Final = b"JBDEVICE"
VERSION: Final = 1
SUFFIX: Final = ".device"
RING_POINTS: Final = 4096
FILE_BYTES: Final = 4096 + RING_POINTS * 16

_POINTS_AT: Final = 4096
_FIXED: Final = struct.Struct("<II I4x QQ")  # version, offset of the points, points, memory, most power
_FIXED_AT: Final = 8
_NAME: Final = slice(64, 160)
_UUID: Final = slice(160, 224)
_BUS: Final = slice(224, 256)
_SEQUENCE: Final = 256 // 8
_STATE_AT: Final = 264
_STATE: Final = struct.Struct("<QQQQQIIiIIxxxxQ")
_WRITTEN: Final = 336 // 8
_FIRST_POINT: Final = _POINTS_AT // 8
_TRIES: Final = 10_000
_NS_UW: Final = 1_000_000
"""Nanoseconds x milliwatts in a microjoule."""

Value = TypeVar("Value")
EnergyPoint = tuple[int, int]
"""(CLOCK_MONOTONIC in ns, cumulative energy in microjoules)."""


class DeviceFileError(ApiError):
    """A device file is missing, is none, or its writer was stopped in the middle of a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """What does not change about a device."""

    uuid: str
    name: str = "Simulated GPU"
    pci_bus_id: str = "00000000:01:00.0"
    memory_bytes: int = 80 * 1024**3
    power_limit_mw: int = 700_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """What a device shows at one time. Energy is the curve's."""

    time_ns: int
    energy_mj: int
    power_mw: int
    resting_power_mw: int
    memory_used_bytes: int = 0
    utilisation_percent: int = 0
    memory_utilisation_percent: int = 0
    temperature_celsius: int = 40
    clock_mhz: int = 1980
    memory_clock_mhz: int = 2619
    clock_reasons: int = 0

    def packed(self) -> bytes:
        """As in the file, from offset 264."""
        return _STATE.pack(
            self.time_ns, self.energy_mj, self.power_mw, self.resting_power_mw, self.memory_used_bytes,
            self.utilisation_percent, self.memory_utilisation_percent, self.temperature_celsius,
            self.clock_mhz, self.memory_clock_mhz, self.clock_reasons,
        )  # fmt: skip

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """The reverse of `packed`."""
        values = _STATE.unpack(data)
        return cls(**dict(zip(cls.__dataclass_fields__, values, strict=True)))


class _Mapped:
    """The bytes of a device file, and the same as unsigned 64-bit words."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            self.memory = mmap.mmap(descriptor, FILE_BYTES, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        self.words = memoryview(self.memory).cast("Q")

    def text(self, part: slice) -> str:
        return self.memory[part].rstrip(b"\0").decode()

    def identity(self) -> DeviceIdentity:
        _version, _offset, _points, memory_bytes, power_limit_mw = _FIXED.unpack_from(self.memory, _FIXED_AT)
        return DeviceIdentity(
            uuid=self.text(_UUID),
            name=self.text(_NAME),
            pci_bus_id=self.text(_BUS),
            memory_bytes=memory_bytes,
            power_limit_mw=power_limit_mw,
        )

    def state(self) -> DeviceState:
        return DeviceState.unpacked(self.memory[_STATE_AT : _STATE_AT + _STATE.size])

    def point(self, number: int) -> EnergyPoint:
        """The `number`th point ever written."""
        at = _FIRST_POINT + number % RING_POINTS * 2
        return self.words[at], self.words[at + 1]

    def energy_uj_at(self, time_ns: int) -> int:
        """E(time_ns), as the module's docstring defines it."""
        written = self.words[_WRITTEN]
        oldest, newest = max(0, written - RING_POINTS), written - 1
        last_ns, last_uj = self.point(newest)
        if time_ns >= last_ns:
            resting_mw = self.words[288 // 8]
            return last_uj + (time_ns - last_ns) * resting_mw // _NS_UW
        low, high = oldest - 1, newest  # the point `low` is not later than time_ns, `high` is
        while high - low > 1:
            middle = (low + high) // 2
            if self.point(middle)[0] <= time_ns:
                low = middle
            else:
                high = middle
        if low < oldest:
            return self.point(oldest)[1]
        start_ns, start_uj = self.point(low)
        end_ns, end_uj = self.point(high)
        return start_uj + (end_uj - start_uj) * (time_ns - start_ns) // (end_ns - start_ns)

    def close(self) -> None:
        self.words.release()
        self.memory.close()


class DeviceFileReader:
    """Reads a device file. Raises DeviceFileError if there is none at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            mapped = _map_whole(path, writable=False)
        except OSError as error:
            raise DeviceFileError(f"cannot read the device file {path}: {error.strerror}") from error
        if mapped is None:
            raise DeviceFileError(f"{path} is not a device file of version {VERSION}")
        self._mapped = mapped
        self.identity = mapped.identity()

    def state(self) -> DeviceState:
        """What the device showed last. Raises DeviceFileError."""
        return self._consistent(self._mapped.state)

    def energy_uj_at(self, time_ns: int) -> int:
        """True cumulative energy at a time, in microjoules. Raises DeviceFileError."""
        return self._consistent(lambda: self._mapped.energy_uj_at(time_ns))

    def close(self) -> None:
        """Unmap the file."""
        self._mapped.close()

    def _consistent(self, read: Callable[[], Value]) -> Value:
        """Read until nothing changed meanwhile."""
        words = self._mapped.words
        for _ in range(_TRIES):
            before = words[_SEQUENCE]
            if before % 2 == 0:
                value = read()
                if words[_SEQUENCE] == before:
                    return value
        raise DeviceFileError(
            f"{self.path}: its writer was stopped in the middle of a change", remedy="start the simulator again"
        )


class DeviceFileWriter:
    """Writes one device file; the only one who does.

    A file of the same device that is there already goes on where its curve is now, as a device does whose host program
    was restarted. Any other file at `path` is replaced.
    """

    def __init__(
        self,
        path: Path,
        *,
        identity: DeviceIdentity,
        resting_power_mw: int,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.path = path
        self.identity = identity
        now_ns = monotonic_ns()
        mapped = _same_device(path, identity, now_ns=now_ns)
        self._mapped = mapped or _new_file(_draft(path), identity)
        self._words = self._mapped.words
        self._words[_SEQUENCE] &= ~1  # whoever wrote before may have been killed in the middle of a change
        self.newest = self._start(now_ns)
        time_ns, energy_uj = self.newest
        state = DeviceState(
            time_ns=time_ns, energy_mj=energy_uj // 1000, power_mw=resting_power_mw, resting_power_mw=resting_power_mw
        )
        self.write(state, points=[self.newest])
        if mapped is None:
            _draft(path).replace(path)

    def _start(self, now_ns: int) -> EnergyPoint:
        """Where the curve goes on. A step that was under way when its program ended counts as done."""
        written = self._words[_WRITTEN]
        if not written:
            return now_ns, 0
        start_ns = max(now_ns, self._mapped.point(written - 1)[0])
        return start_ns, self._mapped.energy_uj_at(start_ns)

    def write(self, state: DeviceState, *, points: Sequence[EnergyPoint] = ()) -> None:
        """Show a new state and append to the curve. Times and energies must not fall."""
        words = self._words
        words[_SEQUENCE] += 1
        written = words[_WRITTEN]
        for time_ns, energy_uj in points:
            at = _FIRST_POINT + written % RING_POINTS * 2
            words[at], words[at + 1] = time_ns, energy_uj
            written += 1
            self.newest = (time_ns, energy_uj)
        words[_WRITTEN] = written
        self._mapped.memory[_STATE_AT : _STATE_AT + _STATE.size] = state.packed()
        words[_SEQUENCE] += 1

    def energy_uj_at(self, time_ns: int) -> int:
        """True cumulative energy at a time, in microjoules."""
        return self._mapped.energy_uj_at(time_ns)

    def close(self) -> None:
        """Unmap the file. It stays, and the device goes on at its resting power."""
        self._words.release()
        self._mapped.close()


def _map_whole(path: Path, *, writable: bool) -> _Mapped | None:
    """The file at `path`, if it is a device file of this version."""
    if path.stat().st_size != FILE_BYTES:
        return None
    mapped = _Mapped(path, writable=writable)
    version, offset, points, _memory, _power = _FIXED.unpack_from(mapped.memory, _FIXED_AT)
    if mapped.memory[: len(MAGIC)] == MAGIC and (version, offset, points) == (VERSION, _POINTS_AT, RING_POINTS):
        return mapped
    mapped.close()
    return None


def _same_device(path: Path, identity: DeviceIdentity, *, now_ns: int) -> _Mapped | None:
    """The file at `path`, if it is of this device and of this boot of the machine."""
    mapped = _map_whole(path, writable=True) if path.is_file() else None
    if mapped is None:
        return None
    # The clock begins anew with each boot.
    if mapped.identity() == identity and mapped.words[_WRITTEN] and mapped.state().time_ns <= now_ns:
        return mapped
    mapped.close()
    return None


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.new")


def _new_file(path: Path, identity: DeviceIdentity) -> _Mapped:
    with path.open("wb") as file:
        file.truncate(FILE_BYTES)
    mapped = _Mapped(path, writable=True)
    memory = mapped.memory
    memory[: len(MAGIC)] = MAGIC
    _FIXED.pack_into(
        memory, _FIXED_AT, VERSION, _POINTS_AT, RING_POINTS, identity.memory_bytes, identity.power_limit_mw
    )
    for part, text in ((_NAME, identity.name), (_UUID, identity.uuid), (_BUS, identity.pci_bus_id)):
        memory[part] = text.encode()[: part.stop - part.start - 1].ljust(part.stop - part.start, b"\0")
    return mapped
