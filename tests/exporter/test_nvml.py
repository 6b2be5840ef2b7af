"""The NVML sensor on the stub, through the real binding."""

import ctypes
import time
from collections.abc import Callable, Iterator

import pytest
from tests.nvml_stub import (
    DRIVER_NOT_LOADED,
    GPU_IS_LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UNKNOWN_ERROR,
    VERSION_MISMATCH,
    StubNvml,
)

from joulebench_api.contracts.device_file import DeviceState
from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.ledger import Ledger
from joulebench_exporter.sensors.base import Diagnosing
from joulebench_exporter.sensors.nvml import NvmlSensor
from joulebench_exporter.ticks import Tick, TickFlag

BuildStub = Callable[..., StubNvml]


@pytest.fixture
def opened() -> Iterator[Callable[..., NvmlSensor]]:
    """`opened()`: a sensor that is closed in the end."""
    sensors: list[NvmlSensor] = []

    def open_sensor(monotonic_ns: Callable[[], int] = time.monotonic_ns) -> NvmlSensor:
        sensors.append(NvmlSensor(monotonic_ns=monotonic_ns))
        return sensors[-1]

    yield open_sensor
    for sensor in sensors:
        sensor.close()


def count(sensor: NvmlSensor, index: int = 0) -> int:
    return sensor.read(sensor.devices()[index]).count


def test_every_board_is_a_device(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    stub = nvml(boards=8)
    devices = [device.info for device in opened().devices()]
    assert [device.uuid for device in devices] == [board.uuid for board in stub.boards]
    assert {(device.domain, device.scope, device.name) for device in devices} == {
        (Domain.GPU, Scope.BOARD, "Simulated GPU")
    }
    assert [device.index for device in devices] == list(range(8))
    assert devices[2].pci_bus_id == "00000000:03:00.0"
    assert devices[0].source == "NVML total energy counter of the board, driver 580.65.06"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Simulated GPU", SensorKind.SIMULATED), ("NVIDIA H100 80GB HBM3", SensorKind.MEASURED)],
)
def test_only_the_stubs_own_product_is_simulated(
    nvml: BuildStub, opened: Callable[..., NvmlSensor], name: str, kind: SensorKind
) -> None:
    nvml(name=name)
    sensor = opened()
    assert (sensor.kind, sensor.devices()[0].info.sensor_kind) == (kind, kind)


def test_a_read_is_the_counter_in_one_call(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    stub = nvml(watts=500, tick_period_ns=1_000_000)
    sensor = opened()
    control = stub.boards[0].control
    calls, energy_calls = control.calls, control.energy_calls
    counts = [count(sensor) for _ in range(100)]
    assert (control.calls - calls, control.energy_calls - energy_calls) == (100, 100)
    assert counts == sorted(counts)


@pytest.mark.parametrize("millijoules", [7, 2**32 + 7, 2**54])
def test_a_read_is_the_whole_number_that_the_board_shows(
    nvml: BuildStub, opened: Callable[..., NvmlSensor], millijoules: int
) -> None:
    stub = nvml(watts=0, tick_period_ns=0)
    state = DeviceState(time_ns=time.monotonic_ns(), energy_mj=millijoules, power_mw=0, resting_power_mw=0)
    stub.boards[0].truth.write(state, points=[(state.time_ns, 1000 * millijoules)])
    assert count(opened()) == millijoules


def test_a_counter_that_fails_is_told_by_its_own_answer(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    stub = nvml()
    sensor = opened()
    stub.boards[0].control.energy_error = UNKNOWN_ERROR  # the call succeeds, its only field does not
    with pytest.raises(SensorReadError, match=str(UNKNOWN_ERROR)):
        count(sensor)
    stub.boards[0].control.energy_error = 0
    assert count(sensor) >= 0


def test_the_modules_counter_is_taken_where_the_board_has_none(
    nvml: BuildStub, opened: Callable[..., NvmlSensor]
) -> None:
    nvml().boards[0].control.module_scope = 1
    sensor = opened()
    assert sensor.devices()[0].info.scope is Scope.MODULE
    assert "module" in sensor.devices()[0].info.source
    assert count(sensor) >= 0


def test_power_is_summed_up_where_there_is_no_counter_and_labelled_so(
    nvml: BuildStub, opened: Callable[..., NvmlSensor]
) -> None:
    stub = nvml(watts=100, tick_period_ns=1_000_000)
    stub.boards[0].control.energy_error = NOT_SUPPORTED
    times = iter(range(0, 10_000_000_000, 100_000_000))
    sensor = opened(monotonic_ns=lambda: next(times))
    (device,) = sensor.devices()
    assert "no energy counter" in sensor.notes[0]
    assert device.counter.integrated
    ledger = Ledger(device.counter)
    found: list[Tick | None] = [
        ledger.observe(sensor.read(device).count, start_ns=n * 100_000_000, end_ns=n * 100_000_000) for n in range(3)
    ]
    flags = [tick.flags for tick in found if tick is not None]
    assert flags
    assert all(flag & TickFlag.INTEGRATED for flag in flags)


def test_an_error_on_one_board_is_that_boards_alone(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    stub = nvml(boards=8)
    sensor = opened()
    stub.boards[3].control.error = UNKNOWN_ERROR
    with pytest.raises(SensorReadError, match="answered 999"):
        count(sensor, 3)
    for index in (0, 1, 2, 4, 5, 6, 7):
        count(sensor, index)
    stub.boards[3].control.error = 0
    count(sensor, 3)


def test_a_restarted_driver_is_initialised_again_at_the_next_read(
    nvml: BuildStub, opened: Callable[..., NvmlSensor]
) -> None:
    stub = nvml(boards=2, watts=1000, tick_period_ns=1_000_000)
    sensor = opened()
    count(sensor)
    stub.restart_driver()
    with pytest.raises(SensorReadError, match="UNINITIALIZED"):
        count(sensor)
    assert count(sensor) < 10_000  # it began at 0 again
    count(sensor, 1)


def test_a_lost_board_does_not_cost_the_others_a_restart_again_and_again(
    nvml: BuildStub, opened: Callable[..., NvmlSensor]
) -> None:
    stub = nvml(boards=2)
    now_ns = 0
    sensor = opened(monotonic_ns=lambda: now_ns)
    stub.boards[1].control.error = GPU_IS_LOST
    inits = stub.control.inits
    for now_ns in range(0, 120_000_000_000, 1_000_000_000):  # noqa: B007 - the sensor's clock
        with pytest.raises(SensorReadError):
            count(sensor, 1)
        count(sensor, 0)
    assert stub.control.inits - inits <= 3
    stub.boards[1].control.error = 0
    now_ns += 1_000_000_000
    with pytest.raises(SensorReadError, match="gone"):
        count(sensor, 1)
    count(sensor, 1)


def test_instances_are_listed_with_their_board(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    nvml().boards[0].control.instances = 3
    sensor = opened()
    (device,) = sensor.devices()
    assert [partition.uuid[:4] for partition in device.info.partitions] == ["MIG-"] * 3
    assert len({partition.uuid for partition in device.info.partitions}) == 3
    assert device.info.scope is Scope.BOARD
    assert isinstance(sensor, Diagnosing)
    assert sensor.diagnose(device).utilisation_percent is None  # boards with instances do not tell


def test_diagnostics(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    stub = nvml()
    stub.boards[0].draw(200, utilisation_percent=87, temperature_celsius=61, memory_used_bytes=2**30, clock_reasons=4)
    sensor = opened()
    look = sensor.diagnose(sensor.devices()[0])
    assert (look.utilisation_percent, look.temperature_celsius, look.memory_used_bytes) == (87, 61, 2**30)
    assert (look.clock_mhz, look.memory_clock_mhz, look.clock_reasons, look.power_limit_watts) == (1980, 2619, 4, 700)
    assert look.fan_percent is None
    assert look.power_watts is not None


def test_what_a_board_does_not_support_is_not_asked_again(nvml: BuildStub, opened: Callable[..., NvmlSensor]) -> None:
    stub = nvml()
    stub.boards[0].control.diagnostics_error = NOT_SUPPORTED
    sensor = opened()
    calls = stub.control.calls
    for _ in range(2):
        assert sensor.diagnose(sensor.devices()[0]).temperature_celsius is None
    calls, first_two = stub.control.calls, stub.control.calls - calls
    sensor.diagnose(sensor.devices()[0])
    assert stub.control.calls - calls < first_two / 2


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (DRIVER_NOT_LOADED, "kernel module"),
        (VERSION_MISMATCH, "different releases"),
        (NO_PERMISSION, "/dev/nvidiactl"),
        (UNKNOWN_ERROR, "nvidia-smi"),
    ],
)
def test_a_library_that_cannot_be_initialised_says_what_to_do(nvml: BuildStub, code: int, said: str) -> None:
    nvml().control.init_error = code
    with pytest.raises(SensorUnavailableError) as caught:
        NvmlSensor()
    assert said in (caught.value.remedy or "")


def test_a_driver_without_boards_is_no_sensor(nvml: BuildStub) -> None:
    nvml(boards=0)
    with pytest.raises(SensorUnavailableError, match="no board"):
        NvmlSensor()


def test_a_machine_without_the_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(SensorUnavailableError) as caught:
        NvmlSensor()
    assert "libnvidia-ml.so.1 is not here" in caught.value.message
    assert "runtimeClassName" in (caught.value.remedy or "")
