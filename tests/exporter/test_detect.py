"""The choice of sensors."""

from pathlib import Path

import pytest

from joulebench_api.contracts.energy import SensorKind
from joulebench_exporter.errors import BadOptionError, SensorUnavailableError
from joulebench_exporter.sensors.detect import SensorOptions, open_sensors


@pytest.fixture(autouse=True)
def no_boards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joulebench_exporter.sensors.detect.nvml_is_installed", lambda: False)


def options(root: Path) -> SensorOptions:
    return SensorOptions(boot_id="0123abcd", uptime_ns=lambda: 0, rapl_root=root, idle_watts=1.0, watts_per_core=1.0)


def with_package(root: Path) -> Path:
    zone = root / "intel-rapl:0"
    zone.mkdir()
    for name, content in {"name": "package-0", "energy_uj": "5", "max_energy_range_uj": "1000"}.items():
        (zone / name).write_text(content)
    return root


def test_auto_takes_rapl_where_a_package_can_be_read(tmp_path: Path) -> None:
    detected = open_sensors(["auto"], options(with_package(tmp_path)))
    assert [(sensor.name, sensor.kind) for sensor in detected.sensors] == [("rapl", SensorKind.MEASURED)]


def test_auto_models_where_there_is_no_counter_and_says_why(tmp_path: Path) -> None:
    detected = open_sensors(["auto"], options(tmp_path))
    assert [(sensor.name, sensor.kind) for sensor in detected.sensors] == [("modelled", SensorKind.MODELLED)]
    assert "modelled, not measured: no RAPL counter under" in detected.notes[0]


def test_a_named_sensor_that_is_not_there_is_an_error_and_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailableError):
        open_sensors(["rapl"], options(tmp_path))


def test_a_named_sensor_is_used_though_a_better_one_is_there(tmp_path: Path) -> None:
    detected = open_sensors(["modelled"], options(with_package(tmp_path)))
    assert [sensor.name for sensor in detected.sensors] == ["modelled"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["raple"], "Did you mean 'rapl'"),
        (["quantum"], "There are: auto, nvml, amdsmi, rapl, modelled"),
        ([], "There are"),
        (["rapl", "rapl"], "once"),
        (["auto", "rapl"], "either"),
        (["rapl", "modelled"], "Give one of them"),
    ],
)
def test_a_bad_list_of_sensors_is_refused_with_what_would_be_right(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(BadOptionError) as caught:
        open_sensors(names, options(tmp_path))
    assert said in (caught.value.remedy or "")
