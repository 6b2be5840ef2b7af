"""Boards without hardware behind a real `libnvidia-ml.so.1`: builds `stub.c`, and drives it through files.

    stub = StubNvml(folder, library=build(cache), boards=8)
    subprocess.Popen([...], env=stub.environment())      # nvidia-ml-py in there loads the stub
    stub.load()                                          # ... or in this process
    stub.boards[3].control.error = GPU_IS_LOST           # takes effect at the next call

Each board has a device file, so that a test (or the Simulator) says what it truly uses.
"""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_api.contracts.device_file import DeviceFileWriter, DeviceIdentity, DeviceState

SOURCE: Final = Path(__file__).with_name("stub.c")
SONAME: Final = "libnvidia-ml.so.1"
FOLDER_VARIABLE: Final = "JOULEBENCH_NVML_STUB"
MAX_BOARDS: Final = 16
MAX_ACCOUNTS: Final = 16

NOT_SUPPORTED: Final = 3
NO_PERMISSION: Final = 4
DRIVER_NOT_LOADED: Final = 9
GPU_IS_LOST: Final = 15
VERSION_MISMATCH: Final = 18
UNKNOWN_ERROR: Final = 999


class BoardControl(ctypes.LittleEndianStructure):
    """How one board shows itself: `struct board_control` of stub.c."""

    _fields_ = (
        ("tick_period_ns", ctypes.c_uint64),
        ("phase_ns", ctypes.c_uint64),
        ("delay_ns", ctypes.c_uint64),
        ("jitter_ns", ctypes.c_uint64),
        ("drift_ppb", ctypes.c_int64),
        ("latency_ns", ctypes.c_uint64),
        ("latency_sleeps", ctypes.c_uint32),
        ("error", ctypes.c_int32),
        ("energy_error", ctypes.c_int32),
        ("power_error", ctypes.c_int32),
        ("diagnostics_error", ctypes.c_int32),
        ("module_scope", ctypes.c_uint32),
        ("instances", ctypes.c_uint32),
        ("fan_percent", ctypes.c_uint32),
        ("unhealthy", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("taken_off_uj", ctypes.c_uint64),
        ("calls", ctypes.c_uint64),
        ("energy_calls", ctypes.c_uint64),
    )


class Account(ctypes.LittleEndianStructure):
    """The calls of one process: `struct account` of stub.c."""

    _fields_ = (
        ("process", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("calls", ctypes.c_uint64),
        ("cpu_ns", ctypes.c_uint64),
    )


class Control(ctypes.LittleEndianStructure):
    """The file `control`: `struct control` of stub.c."""

    _fields_ = (
        ("magic", ctypes.c_char * 8),
        ("boards_bytes", ctypes.c_uint32),
        ("generation", ctypes.c_uint32),
        ("init_error", ctypes.c_int32),
        ("pad", ctypes.c_int32),
        ("driver_version", ctypes.c_char * 64),
        ("calls", ctypes.c_uint64),
        ("inits", ctypes.c_uint64),
        ("boards", BoardControl * MAX_BOARDS),
        ("accounts", Account * MAX_ACCOUNTS),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board: what it truly uses (`truth`), and how it shows that (`control`)."""

    uuid: str
    truth: DeviceFileWriter
    control: BoardControl

    def draw(self, watts: float, **state: int) -> None:
        """From now on use so many watts; `state` holds further fields of DeviceState."""
        now_ns = time.monotonic_ns()
        energy_uj = self.truth.energy_uj_at(now_ns)
        milliwatts = round(watts * 1000)
        shown = DeviceState(
            time_ns=now_ns,
            energy_mj=energy_uj // 1000,
            power_mw=milliwatts,
            resting_power_mw=milliwatts,
            **state,
        )
        self.truth.write(shown, points=[(now_ns, energy_uj)])

    def reset_counter(self) -> None:
        """Let the energy counter begin at 0 again."""
        self.control.taken_off_uj = self.truth.energy_uj_at(time.monotonic_ns())


class StubNvml:
    """A folder of boards, and the library that shows them."""

    def __init__(
        self,
        folder: Path,
        *,
        library: Path,
        boards: int = 1,
        name: str = "Simulated GPU",
        watts: float = 100.0,
        tick_period_ns: int = 100_000_000,
        jitter_ns: int = 0,
        drift_ppm: int = 0,
        uuids: Sequence[str] = (),
    ) -> None:
        """Boards that draw `watts` and whose ticks have evenly spread phases; change `control` as you like.

        `uuids`: theirs, where they must differ from those of another folder's.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.library = library
        self.control = _new_control(folder / "control")
        self.control.driver_version = b"580.65.06"
        self.boards = [
            _new_board(folder, index, uuid=uuid, control=self.control, name=name, watts=watts)
            for index, uuid in enumerate(uuids or map(_usual_uuid, range(boards)))
        ]
        for index, board in enumerate(self.boards):
            board.control.tick_period_ns = tick_period_ns
            board.control.phase_ns = index * tick_period_ns // len(self.boards)
            board.control.jitter_ns = jitter_ns
            board.control.drift_ppb = drift_ppm * 1000

    def account(self, process: int) -> Account:
        """Calls of one process that has initialised the library, and the CPU time that they took."""
        accounts: Iterable[Account] = self.control.accounts
        return next(account for account in accounts if account.process == process)

    def environment(self) -> dict[str, str]:
        """Environment variables under which programs find the stub in place of a driver."""
        return {**os.environ, **self.variables()}

    def variables(self) -> Mapping[str, str]:
        """Those that differ from ours."""
        return {FOLDER_VARIABLE: str(self.folder), "LD_LIBRARY_PATH": str(self.library.parent)}

    def load(self) -> "StubLog":
        """Load the library into this process: whoever asks for `libnvidia-ml.so.1` gets it, also nvidia-ml-py."""
        return StubLog(self.library, self.folder)

    def restart_driver(self) -> None:
        """Every call fails until the library is initialised again; the counters begin at 0."""
        self.control.generation += 1
        for board in self.boards:
            board.reset_counter()


class StubLog:
    """What the boards truly showed and when, by the stub's own account, for comparison with what was seen."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.stub_latest_tick.restype = ctypes.c_int64
        self._library.stub_tick_ns.restype = ctypes.c_int64
        self._library.stub_tick_mj.restype = ctypes.c_uint64
        if self._library.stub_open(str(folder).encode()) < 0:
            raise AssertionError("stub.c and this module disagree about the control file")

    def ticks(self, board: int, *, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """(time_ns, counter in mJ) of all ticks of a board between two times."""
        index = ctypes.c_int(board)
        last = self._library.stub_latest_tick(index, ctypes.c_int64(to_ns))
        first = self._library.stub_latest_tick(index, ctypes.c_int64(from_ns)) + 1
        numbers = [ctypes.c_int64(number) for number in range(first, last + 1)]
        return [
            (self._library.stub_tick_ns(index, number), self._library.stub_tick_mj(index, number)) for number in numbers
        ]


def why_not() -> str | None:
    """Why the stub cannot be built on this machine; None: it can."""
    if sys.platform != "linux":
        return "the stub of libnvidia-ml.so.1 is for Linux"
    return None if shutil.which("cc") else "no C compiler (cc) to build the stub of libnvidia-ml.so.1 with"


def build(folder: Path) -> Path:
    """Compile the stub into a folder."""
    library = folder / SONAME
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run(["cc", *options, f"-Wl,-soname,{SONAME}", "-o", str(library), str(SOURCE)], check=True)
    return library


def open_control(folder: Path) -> Control:
    """How the boards of a folder show themselves, to be read and changed from another process than the maker's."""
    with (folder / "control").open("r+b") as file:
        return Control.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(Control)))


def _new_control(path: Path) -> Control:
    path.write_bytes(bytes(ctypes.sizeof(Control)))
    control = open_control(path.parent)
    control.magic = b"JBNVMLST"
    control.boards_bytes = ctypes.sizeof(BoardControl)
    return control


def _usual_uuid(index: int) -> str:
    return f"GPU-00000000-0000-4000-8000-{index:012d}"


def _new_board(folder: Path, index: int, *, uuid: str, control: Control, name: str, watts: float) -> Board:
    identity = DeviceIdentity(uuid=uuid, name=name, pci_bus_id=f"00000000:{index + 1:02x}:00.0")
    truth = DeviceFileWriter(
        folder / f"board-{index:02d}.device", identity=identity, resting_power_mw=round(watts * 1000)
    )
    return Board(uuid=uuid, truth=truth, control=control.boards[index])
