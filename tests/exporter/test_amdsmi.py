"""The AMD SMI sensor on a small stand-in for AMD's Python binding. No AMD hardware is involved."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.ledger import Ledger
from joulebench_exporter.sensors.amdsmi import AmdSmiSensor
from joulebench_exporter.sensors.base import Diagnosing
from joulebench_exporter.sensors.detect import SensorOptions, open_sensors

RESOLUTION = 15.300000190734863  # 15.3 as a 32-bit float
NOT_SUPPORTED, DRIVER_NOT_LOADED, BUSY = 2, 34, 30


class AmdSmiError(Exception):
    """As the binding's: it has a code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Error code:\n\t{code} | made up")
        self.err_code = code


@dataclass
class Board:
    """What one board answers."""

    uuid: str
    energy: dict[str, Any]
    answers: dict[str, Any] = field(default_factory=dict)
    error: int | None = None


class Kind(Enum):
    """Stands for all enumerations of the binding."""

    VRAM = "vram"
    HOTSPOT = "hotspot"
    CURRENT = "current"
    GFX = "gfx"
    MEM = "mem"


def energy(count: int, *, name: str = "energy_accumulator") -> dict[str, Any]:
    return {name: count, "counter_resolution": RESOLUTION, "timestamp": 1}


def board(number: int, **more: Any) -> Board:
    return Board(uuid=f"amd-{number}", **({"energy": energy(1000)} | more))


TELLING = {
    "amdsmi_get_power_info": {"current_socket_power": 320, "average_socket_power": "N/A"},
    "amdsmi_get_gpu_activity": {"gfx_activity": 87, "umc_activity": 40, "mm_activity": "N/A"},
    "amdsmi_get_gpu_memory_usage": 5000,
    "amdsmi_get_gpu_memory_total": 8000,
    "amdsmi_get_temp_metric": 61,
    "amdsmi_get_clock_info": {"clk": 2100},
    "amdsmi_get_gpu_asic_info": {"market_name": "AMD Instinct MI300X"},
    "amdsmi_get_gpu_device_bdf": "0000:05:00.0",
    "amdsmi_get_gpu_driver_info": {"driver_version": "6.8.5"},
}


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """`binding(board, ...)`: what `import amdsmi` finds from now on."""

    def install(*boards: Board, init_error: int | None = None) -> Any:
        module: Any = ModuleType("amdsmi")

        def init() -> None:
            if init_error is not None:
                raise AmdSmiError(init_error)

        def answering(name: str) -> Callable[..., Any]:
            def call(handle: Board, *_: Any) -> Any:
                if handle.error is not None or name not in handle.answers:
                    raise AmdSmiError(handle.error or NOT_SUPPORTED)
                return handle.answers[name]

            return call

        def energy_count(handle: Board) -> dict[str, Any]:
            if handle.error is not None:
                raise AmdSmiError(handle.error)
            return handle.energy

        module.closed = 0

        def shut_down() -> None:
            module.closed += 1

        module.AmdSmiException = AmdSmiError
        module.amdsmi_init, module.amdsmi_shut_down = init, shut_down
        module.amdsmi_get_processor_handles = lambda: list(boards)
        module.amdsmi_get_gpu_device_uuid = lambda handle: handle.uuid
        module.amdsmi_get_energy_count = energy_count
        for name in TELLING:
            setattr(module, name, answering(name))
        for name in ("AmdSmiMemoryType", "AmdSmiTemperatureType", "AmdSmiTemperatureMetric", "AmdSmiClkType"):
            setattr(module, name, Kind)
        monkeypatch.setitem(sys.modules, "amdsmi", module)
        return module

    return install


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SensorOptions:
    monkeypatch.setattr("joulebench_exporter.sensors.detect.nvml_is_installed", lambda: False)
    return SensorOptions(boot_id="b", uptime_ns=lambda: 0, rapl_root=tmp_path, idle_watts=1.0, watts_per_core=1.0)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amdsmi", None)


def test_every_board_is_a_device(binding: Callable[..., ModuleType]) -> None:
    binding(board(0, answers=TELLING), board(1))
    first, second = (device.info for device in AmdSmiSensor().devices())
    assert (first.uuid, first.name, first.domain, first.scope) == (
        "amd-0", "AMD Instinct MI300X", Domain.GPU, Scope.BOARD,
    )  # fmt: skip
    assert (first.sensor_kind, first.pci_bus_id, first.driver_version) == (
        SensorKind.MEASURED, "0000:05:00.0", "6.8.5",
    )  # fmt: skip
    assert first.source == "AMD SMI energy accumulator of the board, 15.3 uJ a count"
    assert (second.name, second.index, second.pci_bus_id) == ("AMD GPU", 1, "")


@pytest.mark.parametrize("name", ["energy_accumulator", "power"])
def test_counts_are_worth_their_resolution_exactly(binding: Callable[..., ModuleType], name: str) -> None:
    one = board(0, energy=energy(1000, name=name))
    binding(one)
    sensor = AmdSmiSensor()
    (device,) = sensor.devices()
    assert device.counter.microjoules_per_count == Fraction("15.3")
    ledger = Ledger(device.counter)
    assert ledger.observe(sensor.read(device).count, start_ns=0, end_ns=1) is not None
    one.energy = energy(1000 + 10**9, name=name)
    tick = ledger.observe(sensor.read(device).count, start_ns=10**8, end_ns=10**8 + 1)
    assert tick is not None
    assert tick.energy_mj == 15_300_000


def test_a_look_shows_what_the_board_tells(binding: Callable[..., ModuleType]) -> None:
    binding(board(0, answers=TELLING))
    sensor = AmdSmiSensor(monotonic_ns=lambda: 7)
    assert isinstance(sensor, Diagnosing)
    assert (look := sensor.diagnose(sensor.devices()[0])).time_ns == 7
    assert dict(look.known()) == {
        "power_watts": 320, "utilisation_percent": 87, "memory_utilisation_percent": 40, "memory_used_bytes": 5000,
        "memory_total_bytes": 8000, "temperature_celsius": 61, "clock_mhz": 2100, "memory_clock_mhz": 2100,
    }  # fmt: skip


def test_a_board_that_tells_nothing_has_no_look(binding: Callable[..., ModuleType]) -> None:
    binding(board(0))
    sensor = AmdSmiSensor()
    with pytest.raises(SensorReadError, match="tells nothing"):
        sensor.diagnose(sensor.devices()[0])


def test_what_a_board_does_not_fill_in_is_not_known(binding: Callable[..., ModuleType]) -> None:
    unfilled = {
        "amdsmi_get_power_info": {"current_socket_power": 0xFFFF},
        "amdsmi_get_gpu_activity": {"gfx_activity": 5, "umc_activity": "N/A"},
        "amdsmi_get_gpu_memory_usage": 2**64 - 1,
        "amdsmi_get_clock_info": {"clk": 2**32 - 1},
    }
    binding(board(0, answers=unfilled))
    sensor = AmdSmiSensor()
    assert dict(sensor.diagnose(sensor.devices()[0]).known()) == {"utilisation_percent": 5}


def test_a_failed_read_is_that_boards_alone(binding: Callable[..., ModuleType]) -> None:
    broken, well = board(0), board(1)
    binding(broken, well)
    sensor = AmdSmiSensor()
    broken.error = BUSY
    with pytest.raises(SensorReadError, match="amdsmi_get_energy_count: Error code: 30"):
        sensor.read(sensor.devices()[0])
    assert sensor.read(sensor.devices()[1]).count == 1000


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (board(1, energy=energy(0)), "board 1 cannot be measured: its energy accumulator shows 0"),
        (board(1, energy=energy(2**64 - 1)), "board 1 cannot be measured: amdsmi_get_energy_count tells no count"),
        (board(1, error=NOT_SUPPORTED), "board 1 cannot be measured: amdsmi_get_energy_count: Error code: 2"),
        (board(0), "board 1 cannot be measured: its identity amd-0 is that of another one"),
        (board(1, energy={"counter_resolution": 15.3}), "tells no count"),
        (board(1, energy={"power": 5, "counter_resolution": 0.0}), "units of 0 microjoules"),
    ],
)
def test_a_board_without_a_counter_of_its_own_is_left_out_and_named(
    binding: Callable[..., ModuleType], second: Board, said: str
) -> None:
    binding(board(0), second)
    sensor = AmdSmiSensor()
    assert [device.info.uuid for device in sensor.devices()] == ["amd-0"]
    assert said in sensor.notes[0]


def test_auto_takes_the_boards_beside_the_processors(
    binding: Callable[..., ModuleType], options: SensorOptions
) -> None:
    binding(board(0))
    assert [sensor.name for sensor in open_sensors(["auto"], options).sensors] == ["amdsmi", "modelled"]


def test_auto_says_nothing_of_a_machine_without_the_library(absent: None, options: SensorOptions) -> None:
    detected = open_sensors(["auto"], options)
    assert [sensor.name for sensor in detected.sensors] == ["modelled"]
    assert not any("AMD boards" in note for note in detected.notes)


def test_auto_says_nothing_of_a_machine_without_the_driver(
    binding: Callable[..., ModuleType], options: SensorOptions
) -> None:
    binding(init_error=DRIVER_NOT_LOADED)
    assert not any("AMD boards" in note for note in open_sensors(["auto"], options).notes)


def test_auto_says_so_where_the_boards_cannot_be_measured(
    binding: Callable[..., ModuleType], options: SensorOptions
) -> None:
    module = binding(board(0, error=NOT_SUPPORTED))
    notes = open_sensors(["auto"], options).notes
    assert any("AMD boards are not measured: AMD SMI shows no board" in note for note in notes)
    assert module.closed == 1


def test_the_sensor_that_is_named_and_not_here_is_an_error_with_a_remedy(absent: None, options: SensorOptions) -> None:
    with pytest.raises(SensorUnavailableError, match="'amdsmi' is not installed") as caught:
        open_sensors(["amdsmi"], options)
    assert "ROCm" in (caught.value.remedy or "")


def test_a_library_that_does_not_begin_is_an_error_with_a_remedy(
    binding: Callable[..., ModuleType], options: SensorOptions
) -> None:
    binding(init_error=BUSY)
    with pytest.raises(SensorUnavailableError, match="cannot be initialised: Error code: 30") as caught:
        open_sensors(["amdsmi"], options)
    assert "amdgpu" in (caught.value.remedy or "")
