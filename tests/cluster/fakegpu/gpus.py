"""The files of a node's fake GPUs: made, read, and driven by tests."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import nvml_stub
from tests.nvml_stub import GPU_IS_LOST, BoardControl, StubLog, StubNvml, open_control

from joulebench_api.contracts.device_file import SUFFIX, DeviceFileReader

FOLDER: Final = Path("/var/lib/fake-gpus")
"""Where a node's processes see them."""
RESOURCE: Final = "nvidia.com/gpu"
RESTING_WATTS: Final = 70.0
"""Of a GPU that nothing has used yet; a simulator that had it leaves its own."""

_BOARDS: Final = "boards"
_LIBRARY: Final = "lib"
_NAMESPACE: Final = uuid.UUID("0f0b7c1e-5c7f-4c53-8ad1-3c9b1c1c7a51")


@dataclass(frozen=True, kw_only=True)
class FakeGpu:
    """One GPU of a node."""

    uuid: str
    file: Path
    """Its device file, as this process sees it."""
    control: BoardControl

    @property
    def healthy(self) -> bool:
        """What the device plugin says of it."""
        return not (self.control.unhealthy or self.control.error)

    def break_down(self) -> None:
        """It is declared unfit for further pods; NVML goes on to show it."""
        self.control.unhealthy = 1

    def get_lost(self) -> None:
        """It falls off the bus: NVML cannot read it any more, and no further pod gets it."""
        self.control.error = GPU_IS_LOST

    def recover(self) -> None:
        """All is well again."""
        self.control.error = self.control.unhealthy = 0

    def energy_uj_at(self, time_ns: int) -> int:
        """What it has truly used by then, in microjoules."""
        reader = DeviceFileReader(self.file)
        try:
            return reader.energy_uj_at(time_ns)
        finally:
            reader.close()


def make(folder: Path, *, node: str, count: int, name: str) -> None:
    """Fill the folder of a node's GPUs, and build the library that shows them."""
    library = folder / _LIBRARY
    library.mkdir(parents=True)
    stub = StubNvml(
        folder / _BOARDS,
        library=nvml_stub.build(library),
        name=name,
        watts=RESTING_WATTS,
        uuids=[f"GPU-{uuid.uuid5(_NAMESPACE, f'{node}/{index}')}" for index in range(count)],
    )
    for board in stub.boards:
        board.truth.close()
        # Whoever was given it uses it, also as a user without rights.
        board.truth.path.chmod(0o666)


def read(folder: Path) -> list[FakeGpu]:
    """The GPUs in a folder that `make` has filled, in NVML's order."""
    files = sorted((folder / _BOARDS).glob(f"*{SUFFIX}"))
    control = open_control(folder / _BOARDS)
    return [
        FakeGpu(uuid=_uuid_in(file), file=file, control=board)
        for file, board in zip(files, control.boards, strict=False)
    ]


def account(folder: Path) -> StubLog:
    """What the counters have shown and when, by the library's own account."""
    return StubLog(folder / _LIBRARY / nvml_stub.SONAME, folder / _BOARDS)


def variables(folder: Path = FOLDER) -> Mapping[str, str]:
    """The environment in which a program on the node finds the library and the GPUs."""
    return {nvml_stub.FOLDER_VARIABLE: f"{folder}/{_BOARDS}", "LD_LIBRARY_PATH": f"{folder}/{_LIBRARY}"}


def _uuid_in(file: Path) -> str:
    reader = DeviceFileReader(file)
    try:
        return reader.identity.uuid
    finally:
        reader.close()
