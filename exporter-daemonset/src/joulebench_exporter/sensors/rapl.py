"""RAPL: the energy counters of CPU packages and memory, as Linux shows them under /sys/class/powercap.

Kernel documentation: https://docs.kernel.org/power/powercap/powercap.html. Counted are `package-N` and `dram`;
`core` and `uncore` are parts of their package and are never read. `psys` (the whole platform) overlaps all others and
is kept apart as domain PSYS.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.sensors.base import Reading, SensorDevice

NAME: Final = "rapl"
DEFAULT_ROOT: Final = Path("/sys/class/powercap")

# Intel's manual (SDM volume 3, "RAPL interfaces") gives about 1 ms between updates of package and DRAM, none for psys.
_UPDATE_PERIOD_NS: Final = 1_000_000
# More than any socket or its memory draws.
_MAX_WATTS: Final = 2_000
# Two reads right after each other of one and the same counter differ by less than this (_MAX_WATTS for 5 ms).
_SAME_COUNTER_MICROJOULES: Final = 10_000_000

_ZONE_FOLDER = re.compile(r"intel-rapl(-mmio)?(:[0-9a-f]+)+")
# The kernel lists all zones flat in /sys/class/powercap; under /sys/devices/virtual/powercap they are nested.
_PATTERNS: Final = ("intel-rapl*:*", "intel-rapl*/intel-rapl*:*", "intel-rapl*/intel-rapl*:*/intel-rapl*:*:*")

_PERMISSION_REMEDY: Final = (
    "Energy counters are readable by root alone (CVE-2020-8694). Run the exporter as root, or allow all users to read "
    "them until the next boot: sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj; "
    "without them, `--sensor modelled` estimates the energy from CPU time."
)
_ABSENT_REMEDY: Final = (
    "RAPL needs Linux on an Intel or AMD processor and the module intel_rapl_common; virtual machines rarely have it. "
    "In a container mount the host's /sys/class/powercap and /sys/devices/virtual/powercap and name the folder with "
    "--rapl-root. `--sensor modelled` works everywhere."
)

ReadText = Callable[[Path], str]


def _read_text(path: Path) -> str:
    return path.read_text(encoding="ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zone:
    """One folder of the powercap tree whose counter can be read."""

    folder: Path
    label: str
    """Such as `package-0`, `package-0 dram` or `psys`."""
    domain: Domain
    energy_uj: int
    max_range_uj: int | None


class RaplSensor:
    """All packages, memories and the platform counter of one machine.

    Counters that cannot be read are left out and named in `notes`. Raises SensorUnavailableError where no package is
    left.
    """

    def __init__(self, *, boot_id: str, root: Path = DEFAULT_ROOT, read_text: ReadText = _read_text) -> None:
        self._read_text = read_text
        self._notes: list[str] = []
        zones = self._distinct(self._zones(root))
        self._paths = {self._uuid(zone, boot_id): zone.folder / "energy_uj" for zone in zones}
        self._devices = [self._device(zone, boot_id) for zone in zones]
        if not any(zone.domain is Domain.CPU for zone in zones):
            raise self._nothing_found(root)

    @property
    def name(self) -> str:
        """As on the command line."""
        return NAME

    @property
    def kind(self) -> SensorKind:
        """Hardware counters."""
        return SensorKind.MEASURED

    @property
    def notes(self) -> Sequence[str]:
        """Counters that could not be read, and those that are shown twice."""
        return self._notes

    def devices(self) -> Sequence[SensorDevice]:
        """Packages, then what belongs to them, in the kernel's order."""
        return self._devices

    def read(self, device: SensorDevice) -> Reading:
        """Read `energy_uj`, in microjoules."""
        path = self._paths[device.info.uuid]
        try:
            return Reading(count=int(self._read_text(path)))
        except PermissionError as error:
            raise SensorReadError(f"{path}: {error.strerror}", remedy=_PERMISSION_REMEDY) from error
        except (OSError, ValueError) as error:
            raise SensorReadError(f"{path}: {error}") from error

    def close(self) -> None:
        """Nothing is held open."""

    def _zones(self, root: Path) -> Iterable[_Zone]:
        for folder in _zone_folders(root):
            label_and_domain = self._label(folder)
            if label_and_domain is None:
                continue
            label, domain = label_and_domain
            try:
                energy_uj = int(self._read_text(folder / "energy_uj"))
            except PermissionError:
                self._notes.append(f"{folder / 'energy_uj'} ({label}): permission denied. {_PERMISSION_REMEDY}")
            except (OSError, ValueError) as error:
                self._notes.append(f"{folder / 'energy_uj'} ({label}): {error}")
            else:
                max_range_uj = self._max_range_uj(folder)
                yield _Zone(folder=folder, label=label, domain=domain, energy_uj=energy_uj, max_range_uj=max_range_uj)

    def _label(self, folder: Path) -> tuple[str, Domain] | None:
        """The zone's name and domain; None for zones that are part of another one."""
        name = self._zone_name(folder)
        if name is None:
            return None
        if name.startswith("package"):
            return name, Domain.CPU
        if name == "psys":
            return name, Domain.PSYS
        if name == "dram":
            parent = self._zone_name(_parent_zone(folder))
            return f"{parent or folder.name} dram", Domain.DRAM
        return None

    def _zone_name(self, folder: Path) -> str | None:
        try:
            return self._read_text(folder / "name").strip()
        except OSError as error:
            self._notes.append(f"{folder / 'name'}: {error.strerror or error}")
            return None

    def _max_range_uj(self, folder: Path) -> int | None:
        path = folder / "max_energy_range_uj"
        try:
            return int(self._read_text(path))
        except (OSError, ValueError) as error:
            self._notes.append(f"{path}: {error}; a wrap-around of this counter will be taken for a reset")
            return None

    def _distinct(self, zones: Iterable[_Zone]) -> list[_Zone]:
        """Leave out second views of one counter, so that no joule is counted twice."""
        kept: list[_Zone] = []
        for zone in zones:
            twin = next((other for other in kept if _same_counter(zone, other)), None)
            if twin is None:
                kept.append(zone)
            else:
                self._notes.append(f"{zone.folder.name} shows the same counter as {twin.folder.name} ({twin.label})")
        return kept

    @staticmethod
    def _uuid(zone: _Zone, boot_id: str) -> str:
        return f"{NAME}-{zone.label.replace(' ', '-')}-{boot_id[:8]}"

    def _device(self, zone: _Zone, boot_id: str) -> SensorDevice:
        platform = zone.domain is Domain.PSYS
        info = DeviceInfo(
            uuid=self._uuid(zone, boot_id),
            name=zone.label,
            domain=zone.domain,
            scope=Scope.MACHINE if platform else Scope.PACKAGE,
            sensor=NAME,
            sensor_kind=SensorKind.MEASURED,
            source=f"RAPL energy counter {zone.folder.name}/energy_uj ({zone.label}), of all programs on this machine",
            tick_period_seconds=0.0,
        )
        counter = Counter(
            wraps_at=zone.max_range_uj,
            update_period_ns=None if platform else _UPDATE_PERIOD_NS,
            max_watts=_MAX_WATTS,
        )
        return SensorDevice(info=info, counter=counter)

    def _nothing_found(self, root: Path) -> SensorUnavailableError:
        if self._notes:
            denied = any("permission denied" in note.lower() for note in self._notes)
            found = "; ".join(note.removesuffix(f" {_PERMISSION_REMEDY}") for note in self._notes)
            return SensorUnavailableError(
                f"no RAPL package under {root} can be read: {found}",
                remedy=_PERMISSION_REMEDY if denied else _ABSENT_REMEDY,
            )
        return SensorUnavailableError(f"no RAPL counter under {root}: {_why_empty(root)}", remedy=_ABSENT_REMEDY)


def _why_empty(root: Path) -> str:
    if not root.is_dir():
        return "there is no such folder"
    dangling = sorted(path.name for path in root.glob("intel-rapl*") if not path.exists())
    return f"its links lead nowhere ({', '.join(dangling)})" if dangling else "there is no package in it"


def _zone_folders(root: Path) -> list[Path]:
    """All zones, each once; `intel-rapl` (read by MSR) before `intel-rapl-mmio`, parents before children."""
    found: dict[str, Path] = {}
    for pattern in _PATTERNS:
        for folder in root.glob(pattern):
            if _ZONE_FOLDER.fullmatch(folder.name) and folder.is_dir():
                found.setdefault(folder.name, folder)
    return [found[name] for name in sorted(found, key=_zone_order)]


def _zone_order(name: str) -> tuple[str, list[int]]:
    kind, *numbers = name.split(":")
    return kind, [int(number, 16) for number in numbers]


def _parent_zone(folder: Path) -> Path:
    parent = folder.name.rpartition(":")[0]
    return folder.parent if folder.parent.name == parent else folder.parent / parent


def _same_counter(zone: _Zone, other: _Zone) -> bool:
    """Whether two zones are one counter.

    Intel shows a package by MSR and by MMIO under one name. AMD shows the counter of a package again for each of its
    dies (`package-0-die-1`); real counters of two dies are never that close.
    """
    if zone.label == other.label:
        return True
    same_package = _without_die(zone.label) == _without_die(other.label)
    return same_package and abs(zone.energy_uj - other.energy_uj) < _SAME_COUNTER_MICROJOULES


def _without_die(label: str) -> str:
    return re.sub(r"-die-\d+", "", label)
