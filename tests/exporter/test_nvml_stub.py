"""The stub of NVML, through the real binding: what it shows is what its boards truly use, in ticks."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pynvml  # type: ignore[import-untyped]  # has no stubs
import pytest
from tests.nvml_stub import GPU_IS_LOST, NOT_SUPPORTED, StubNvml

BuildStub = Callable[..., StubNvml]


@pytest.fixture(autouse=True)
def initialised(nvml: BuildStub) -> Iterator[None]:
    yield
    pynvml.nvmlShutdown()


def start(stub: StubNvml, index: int = 0) -> object:
    """Initialise the library as it is now; the handle of a board."""
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def test_boards_are_found_with_their_names(nvml: BuildStub) -> None:
    stub = nvml(boards=2)
    handle = start(stub, 1)
    assert pynvml.nvmlDeviceGetCount() == 2
    assert pynvml.nvmlDeviceGetUUID(handle) == stub.boards[1].uuid
    assert pynvml.nvmlDeviceGetName(handle) == "Simulated GPU"
    assert pynvml.nvmlDeviceGetPciInfo(handle).busId == "00000000:02:00.0"
    assert pynvml.nvmlSystemGetDriverVersion() == "580.65.06"


def test_the_counter_moves_in_ticks_as_the_log_says(nvml: BuildStub) -> None:
    stub = nvml(tick_period_ns=20_000_000, jitter_ns=2_000_000, drift_ppm=100, watts=250)
    handle, log = start(stub), stub.load()
    begin_ns = time.monotonic_ns()
    seen = {pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)}
    while time.monotonic_ns() < begin_ns + 300_000_000:
        seen.add(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    ticks = log.ticks(0, from_ns=begin_ns - 25_000_000, to_ns=time.monotonic_ns())
    assert len(seen) >= 10
    assert seen <= {energy_mj for _, energy_mj in ticks}
    for (before_ns, before_mj), (after_ns, after_mj) in pairwise(ticks[2:]):  # the board was made during the first
        assert 15_900_000 <= after_ns - before_ns <= 24_100_000
        assert after_mj - before_mj == pytest.approx((after_ns - before_ns) * 250 / 1e6, abs=1.01)


def test_the_counter_lags_by_its_delay(nvml: BuildStub) -> None:
    stub = nvml(watts=100)
    log = stub.load()
    now_ns = time.monotonic_ns() + 1_000_000_000
    (_, prompt_mj), *_ = log.ticks(0, from_ns=now_ns - 150_000_000, to_ns=now_ns)
    stub.boards[0].control.delay_ns = 50_000_000
    (_, late_mj), *_ = log.ticks(0, from_ns=now_ns - 150_000_000, to_ns=now_ns)
    assert prompt_mj - late_mj == pytest.approx(5000, abs=1)
    start(stub)


SEQUENCE_AT = 256
"""Of a device file: odd while its writer changes it."""


def leave_in_the_middle_of_a_change(path: Path, *, middle: bool) -> None:
    with path.open("r+b") as file:
        file.seek(SEQUENCE_AT)
        sequence = int.from_bytes(file.read(8), "little")
        file.seek(SEQUENCE_AT)
        file.write((sequence + (sequence % 2 != middle)).to_bytes(8, "little"))


def test_a_writer_that_lost_its_processor_in_the_middle_of_a_change_is_waited_for(nvml: BuildStub) -> None:
    stub = nvml(watts=100)
    handle, path = start(stub), stub.boards[0].truth.path
    before_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    leave_in_the_middle_of_a_change(path, middle=True)
    threading.Timer(0.05, leave_in_the_middle_of_a_change, [path], {"middle": False}).start()
    assert pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) >= before_mj


def test_a_counter_whose_writer_was_killed_in_the_middle_of_a_change_fails_and_shows_no_zero(nvml: BuildStub) -> None:
    stub = nvml(watts=100)
    handle = start(stub)
    leave_in_the_middle_of_a_change(stub.boards[0].truth.path, middle=True)
    with pytest.raises(pynvml.NVMLError_Unknown):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)


def test_power_is_the_mean_over_what_was_used(nvml: BuildStub) -> None:
    stub = nvml(watts=300, tick_period_ns=1_000_000)
    handle = start(stub)
    instant, average = pynvml.nvmlDeviceGetFieldValues(
        handle, [pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_FI_DEV_POWER_AVERAGE]
    )
    assert (instant.nvmlReturn, average.nvmlReturn) == (0, 0)
    assert instant.value.uiVal <= 300_000  # the boards are younger than the second that the average is over
    assert average.value.uiVal < 300_000


def test_diagnostics_come_from_the_device_file(nvml: BuildStub) -> None:
    stub = nvml()
    stub.boards[0].draw(200, utilisation_percent=87, temperature_celsius=61, memory_used_bytes=2**30, clock_reasons=4)
    stub.boards[0].control.fan_percent = 30
    handle = start(stub)
    assert pynvml.nvmlDeviceGetUtilizationRates(handle).gpu == 87
    assert pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU) == 61
    assert pynvml.nvmlDeviceGetMemoryInfo(handle).used == 2**30
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle) == pynvml.nvmlClocksEventReasonSwPowerCap
    assert pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM) == 2619
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) == 700_000
    assert pynvml.nvmlDeviceGetFanSpeed(handle) == 30


def test_an_injected_error_hits_one_board_until_it_is_taken_back(nvml: BuildStub) -> None:
    stub = nvml(boards=2)
    handles = [start(stub), pynvml.nvmlDeviceGetHandleByIndex(1)]
    stub.boards[0].control.error = GPU_IS_LOST
    with pytest.raises(pynvml.NVMLError) as caught:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handles[0])
    assert caught.value.value == GPU_IS_LOST
    pynvml.nvmlDeviceGetTotalEnergyConsumption(handles[1])
    stub.boards[0].control.error = 0
    pynvml.nvmlDeviceGetTotalEnergyConsumption(handles[0])


def test_energy_may_be_missing_or_the_modules(nvml: BuildStub) -> None:
    stub = nvml()
    handle = start(stub)
    fields = [83, (pynvml.NVML_FI_DEV_ENERGY, 0), (pynvml.NVML_FI_DEV_ENERGY, pynvml.NVML_POWER_SCOPE_MODULE)]
    returns = []
    for stub.boards[0].control.module_scope, stub.boards[0].control.energy_error in (
        (0, 0),
        (1, 0),
        (0, NOT_SUPPORTED),
    ):
        returns.append([value.nvmlReturn for value in pynvml.nvmlDeviceGetFieldValues(handle, fields)])
    assert returns == [[0, 0, NOT_SUPPORTED], [NOT_SUPPORTED, NOT_SUPPORTED, 0], [NOT_SUPPORTED] * 3]


def test_instances_have_handles_and_identifiers_but_no_energy(nvml: BuildStub) -> None:
    stub = nvml()
    stub.boards[0].control.instances = 2
    handle = start(stub)
    instances = [pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index) for index in range(2)]
    assert pynvml.nvmlDeviceGetMigMode(handle)[0] == 1
    assert len({pynvml.nvmlDeviceGetUUID(instance) for instance in instances}) == 2
    assert pynvml.nvmlDeviceGetUUID(instances[0]).startswith("MIG-")
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(instances[0])


def test_a_restarted_driver_wants_to_be_initialised_anew_and_counts_from_zero(nvml: BuildStub) -> None:
    stub = nvml(watts=1_000_000, tick_period_ns=1_000_000)
    handle = start(stub)
    stub.restart_driver()
    with pytest.raises(pynvml.NVMLError_Uninitialized):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    pynvml.nvmlInit()
    pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0))
    pynvml.nvmlShutdown()


def test_every_call_is_counted_and_takes_as_long_as_it_shall(nvml: BuildStub) -> None:
    stub = nvml()
    handle = start(stub)
    stub.boards[0].control.latency_ns = 3_000_000
    calls, begin_ns = stub.boards[0].control.calls, time.monotonic_ns()
    pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    assert time.monotonic_ns() - begin_ns >= 3_000_000
    assert stub.boards[0].control.calls == calls + 1


def test_each_process_has_an_account_of_its_own(nvml: BuildStub) -> None:
    stub = nvml()
    handle = start(stub)
    program = "import pynvml; pynvml.nvmlInit(); [pynvml.nvmlDeviceGetCount() for _ in range(7)]"
    own = stub.account(os.getpid())
    calls, cpu_ns = own.calls, own.cpu_ns
    with subprocess.Popen([sys.executable, "-c", program], env=stub.environment()) as other:
        assert other.wait(20) == 0
    assert (own.calls, own.cpu_ns) == (calls, cpu_ns)
    assert stub.account(other.pid).calls == 7
    pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    assert own.calls == calls + 1


def test_an_account_is_of_cpu_time_which_a_call_that_sleeps_does_not_take(nvml: BuildStub) -> None:
    stub = nvml()
    handle = start(stub)
    control, own, took_ns = stub.boards[0].control, stub.account(os.getpid()), list[int]()
    control.latency_ns = 100_000_000
    for control.latency_sleeps in (1, 0):
        cpu_ns, thread_ns = own.cpu_ns, time.thread_time_ns()
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        took_ns.append(own.cpu_ns - cpu_ns)
        assert 0 < took_ns[-1] <= time.thread_time_ns() - thread_ns
    sleeping_ns, spinning_ns = took_ns
    assert sleeping_ns < spinning_ns


def test_a_program_finds_it_by_its_environment(nvml: BuildStub) -> None:
    stub = nvml(boards=3)
    start(stub)
    program = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
    output = subprocess.run(
        [sys.executable, "-c", program], env=stub.environment(), capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "3"
    assert os.environ["LD_LIBRARY_PATH"]
