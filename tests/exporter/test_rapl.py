"""RAPL, on fake powercap trees."""

from collections.abc import Callable
from pathlib import Path

import pytest

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.ledger import Ledger
from joulebench_exporter.sensors.rapl import RaplSensor
from joulebench_exporter.ticks import TickFlag

RANGE_UJ = 262_143_328_850
BOOT_ID = "0123abcd-0000-0000-0000-000000000000"

# What a two-socket server shows.
SERVER = {
    "intel-rapl:0": ("package-0", 1_000_000_000),
    "intel-rapl:0:0": ("core", 1),
    "intel-rapl:0:1": ("dram", 2_000_000_000),
    "intel-rapl:1": ("package-1", 3_000_000_000),
    "intel-rapl:1:0": ("dram", 4_000_000_000),
}


def add_zone(folder: Path, name: str, energy_uj: int, *, range_uj: int | None = RANGE_UJ) -> None:
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    if range_uj is not None:
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")


def tree(root: Path, zones: dict[str, tuple[str, int]]) -> Path:
    """Zones flat in one folder, as the kernel shows them under /sys/class/powercap."""
    (root / "intel-rapl").mkdir()
    for folder, (name, energy_uj) in zones.items():
        add_zone(root / folder, name, energy_uj)
    return root


def opened(root: Path) -> RaplSensor:
    return RaplSensor(boot_id=BOOT_ID, root=root)


def names(sensor: RaplSensor) -> list[str]:
    return [device.info.name for device in sensor.devices()]


def counts(sensor: RaplSensor) -> dict[str, int]:
    return {device.info.name: sensor.read(device).count for device in sensor.devices()}


def refuses(name: str, error: type[OSError]) -> Callable[[Path], str]:
    """Reading any file of this name fails. (As root, chmod would not.)"""

    def read_text(path: Path) -> str:
        if path.name == name:
            raise error(13, "Permission denied")
        return path.read_text()

    return read_text


def test_packages_and_memory_are_devices_and_cores_are_not(tmp_path: Path) -> None:
    sensor = opened(tree(tmp_path, SERVER))
    assert counts(sensor) == {
        "package-0": 1_000_000_000,
        "package-0 dram": 2_000_000_000,
        "package-1": 3_000_000_000,
        "package-1 dram": 4_000_000_000,
    }
    assert [device.info.domain for device in sensor.devices()] == [Domain.CPU, Domain.DRAM, Domain.CPU, Domain.DRAM]
    assert {device.info.scope for device in sensor.devices()} == {Scope.PACKAGE}
    assert {device.info.sensor_kind for device in sensor.devices()} == {SensorKind.MEASURED}
    assert len({device.info.uuid for device in sensor.devices()}) == 4


def test_the_nested_tree_of_the_devices_folder_is_read_as_well(tmp_path: Path) -> None:
    add_zone(tmp_path / "intel-rapl" / "intel-rapl:0", "package-0", 5)
    add_zone(tmp_path / "intel-rapl" / "intel-rapl:0" / "intel-rapl:0:0", "dram", 6)
    assert counts(opened(tmp_path)) == {"package-0": 5, "package-0 dram": 6}


def test_links_to_the_nested_tree_count_each_zone_once(tmp_path: Path) -> None:
    nested = tmp_path / "devices"
    add_zone(nested / "intel-rapl" / "intel-rapl:0", "package-0", 5)
    root = tmp_path / "class"
    root.mkdir()
    (root / "intel-rapl").symlink_to(nested / "intel-rapl")
    (root / "intel-rapl:0").symlink_to(nested / "intel-rapl" / "intel-rapl:0")
    assert counts(opened(root)) == {"package-0": 5}


def test_the_platform_counter_is_kept_apart(tmp_path: Path) -> None:
    sensor = opened(tree(tmp_path, {**SERVER, "intel-rapl:2": ("psys", 9)}))
    *_, psys = sensor.devices()
    assert (psys.info.domain, psys.info.scope) == (Domain.PSYS, Scope.MACHINE)


def test_a_package_that_is_shown_by_msr_and_by_mmio_counts_once(tmp_path: Path) -> None:
    sensor = opened(tree(tmp_path, {"intel-rapl-mmio:0": ("package-0", 50), "intel-rapl:0": ("package-0", 7)}))
    assert counts(sensor) == {"package-0": 7}
    assert "intel-rapl-mmio:0 shows the same counter as intel-rapl:0" in sensor.notes[0]


def test_dies_that_repeat_their_packages_counter_count_once(tmp_path: Path) -> None:
    zones = {"intel-rapl:0": ("package-0-die-0", 70_000_000_000), "intel-rapl:1": ("package-0-die-1", 70_000_900_000)}
    assert names(opened(tree(tmp_path, zones))) == ["package-0-die-0"]


def test_dies_with_counters_of_their_own_are_both_counted(tmp_path: Path) -> None:
    zones = {"intel-rapl:0": ("package-0-die-0", 70_000_000_000), "intel-rapl:1": ("package-0-die-1", 52_000_000_000)}
    assert names(opened(tree(tmp_path, zones))) == ["package-0-die-0", "package-0-die-1"]


def test_a_wrap_around_is_followed_through_the_ledger(tmp_path: Path) -> None:
    root = tree(tmp_path, {"intel-rapl:0": ("package-0", RANGE_UJ - 3_000_000)})
    sensor = opened(root)
    (device,) = sensor.devices()
    ledger = Ledger(device.counter)
    ledger.observe(sensor.read(device).count, start_ns=0, end_ns=1000)
    (root / "intel-rapl:0" / "energy_uj").write_text("7000000\n")
    tick = ledger.observe(sensor.read(device).count, start_ns=100_000_000, end_ns=100_001_000)
    assert tick is not None
    assert (tick.energy_mj, tick.flags) == (10_000, TickFlag.WRAPPED)
    assert tick.bracket_ns == 1_001_000


def test_without_a_known_range_the_sensor_says_what_follows(tmp_path: Path) -> None:
    add_zone(tmp_path / "intel-rapl:0", "package-0", 5, range_uj=None)
    sensor = opened(tmp_path)
    assert sensor.devices()[0].counter.wraps_at is None
    assert "taken for a reset" in sensor.notes[0]


@pytest.mark.parametrize("zones", [{}, {"intel-rapl:0": ("psys", 1)}, {"intel-rapl:0": ("core", 1)}])
def test_a_machine_without_packages_is_told_so(tmp_path: Path, zones: dict[str, tuple[str, int]]) -> None:
    with pytest.raises(SensorUnavailableError, match="no package in it") as caught:
        opened(tree(tmp_path, zones))
    assert "--rapl-root" in (caught.value.remedy or "")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailableError, match="nowhere: there is no such folder"):
        opened(tmp_path / "nowhere")


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "not-mounted")
    with pytest.raises(SensorUnavailableError, match=r"links lead nowhere \(intel-rapl:0\)"):
        opened(tmp_path)


def test_unreadable_counters_say_which_permission_is_missing(tmp_path: Path) -> None:
    root = tree(tmp_path, SERVER)
    with pytest.raises(SensorUnavailableError, match=r"energy_uj.*permission denied") as caught:
        RaplSensor(boot_id=BOOT_ID, root=root, read_text=refuses("energy_uj", PermissionError))
    assert "root" in (caught.value.remedy or "")
    assert "chmod" in (caught.value.remedy or "")


def test_a_counter_that_becomes_unreadable_is_a_failed_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {"intel-rapl:0": ("package-0", 5)})
    sensor = opened(root)
    (root / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(SensorReadError, match="energy_uj"):
        sensor.read(sensor.devices()[0])


def test_a_counter_with_junk_in_it_is_a_failed_read(tmp_path: Path) -> None:
    root = tree(tmp_path, {"intel-rapl:0": ("package-0", 5)})
    sensor = opened(root)
    (root / "intel-rapl:0" / "energy_uj").write_text("many\n")
    with pytest.raises(SensorReadError, match="many"):
        sensor.read(sensor.devices()[0])


def test_the_readable_counters_are_used_and_the_others_named(tmp_path: Path) -> None:
    root = tree(tmp_path, SERVER)

    def read_text(path: Path) -> str:
        if path == root / "intel-rapl:1" / "energy_uj":
            raise PermissionError(13, "Permission denied")
        return path.read_text()

    sensor = RaplSensor(boot_id=BOOT_ID, root=root, read_text=read_text)
    assert names(sensor) == ["package-0", "package-0 dram", "package-1 dram"]
    assert "intel-rapl:1/energy_uj" in sensor.notes[0]
