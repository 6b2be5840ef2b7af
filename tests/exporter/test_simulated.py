"""The simulated sensor: a real counter's rhythm over a true curve."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.device_file import DeviceFileWriter, DeviceIdentity, DeviceState
from joulebench_api.contracts.energy import Domain, SensorKind
from joulebench_exporter.diagnostics import suspects
from joulebench_exporter.errors import BadOptionError, SensorReadError, SensorUnavailableError
from joulebench_exporter.rhythm import Rhythm
from joulebench_exporter.sensors.base import Diagnosing
from joulebench_exporter.sensors.simulated import SimulatedSensor

MS = 1_000_000
TICK, PHASE = 100 * MS, 30 * MS


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device that uses 1 mJ each millisecond."""
    path = tmp_path / "0.device"
    identity = DeviceIdentity(uuid="GPU-1")
    DeviceFileWriter(path, identity=identity, resting_power_mw=1000, monotonic_ns=lambda: 0)
    return path


def counts(path: Path, rhythm: Rhythm, times_ms: list[int]) -> list[int]:
    now = 0
    sensor = SimulatedSensor([path], rhythm=rhythm, monotonic_ns=lambda: now)
    found = []
    for at in times_ms:
        now = at * MS
        found.append(sensor.read(sensor.devices()[0]).count)
    return found


def test_the_counter_moves_at_its_ticks_only(device: Path) -> None:
    rhythm = Rhythm(tick_ns=TICK, phase_ns=PHASE)
    assert counts(device, rhythm, [229, 230, 300, 329, 330, 331]) == [130, 230, 230, 230, 330, 330]


def test_what_it_shows_is_as_old_as_the_delay(device: Path) -> None:
    assert counts(device, Rhythm(tick_ns=TICK, delay_ns=25 * MS), [400, 450]) == [375, 375]


def test_without_a_tick_it_moves_all_the_time(device: Path) -> None:
    assert counts(device, Rhythm(tick_ns=0), [7, 8, 9]) == [7, 8, 9]


@given(
    now_ns=st.integers(10**9, 10**15), jitter_ns=st.integers(0, TICK // 2 - 1), seed=st.integers(0, 9),
    device_number=st.integers(0, 7),
)  # fmt: skip
def test_ticks_are_never_late_by_more_than_the_jitter(
    now_ns: int, jitter_ns: int, seed: int, device_number: int
) -> None:
    rhythm = Rhythm(tick_ns=TICK, phase_ns=PHASE, jitter_ns=jitter_ns, seed=seed)
    last = rhythm.last_tick_ns(now_ns, device=device_number)
    assert now_ns - TICK - 2 * jitter_ns <= last <= now_ns
    assert rhythm.last_tick_ns(last, device=device_number) == last
    off_grid = (last - PHASE + TICK // 2) % TICK - TICK // 2
    assert abs(off_grid) <= jitter_ns


def test_jitter_is_the_same_again_and_other_for_other_seeds_and_devices() -> None:
    def ticks(seed: int, device: int) -> list[int]:
        rhythm = Rhythm(tick_ns=TICK, jitter_ns=20 * MS, seed=seed)
        return [rhythm.last_tick_ns(at * TICK + TICK // 2, device=device) for at in range(20)]

    assert ticks(1, 0) == ticks(1, 0)
    assert len({tuple(ticks(seed, device)) for seed in (1, 2) for device in (0, 1)}) == 4


def test_it_says_what_it_is(device: Path) -> None:
    sensor = SimulatedSensor([device], rhythm=Rhythm(tick_ns=TICK, delay_ns=10 * MS))
    (found,) = sensor.devices()
    assert (sensor.name, sensor.kind, found.info.sensor_kind) == ("simulated", *[SensorKind.SIMULATED] * 2)
    assert (found.info.uuid, found.info.name, found.info.domain) == ("GPU-1", "Simulated GPU", Domain.GPU)
    assert "tick 100 ms, phase 0 ms, delay 10 ms, jitter 0 ms" in found.info.source
    assert found.info.tick_period_seconds == 0.1


def test_power_comes_along(device: Path) -> None:
    sensor = SimulatedSensor([device], rhythm=Rhythm())
    assert sensor.read(sensor.devices()[0]).power_watts == 1.0


def test_a_new_exporter_goes_on_where_the_counter_is(device: Path) -> None:
    assert counts(device, Rhythm(tick_ns=TICK), [500]) + counts(device, Rhythm(tick_ns=TICK), [900]) == [500, 900]


def test_a_file_that_is_left_in_the_middle_of_a_change_is_a_failed_read(device: Path) -> None:
    sensor = SimulatedSensor([device], rhythm=Rhythm())
    with device.open("r+b") as file:
        file.seek(256)
        file.write(b"\x01")
    with pytest.raises(SensorReadError, match="in the middle of a change"):
        sensor.read(sensor.devices()[0])


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (lambda _: [], BadOptionError, "needs device files"),
        (lambda folder: [folder / "none"], SensorUnavailableError, "cannot read the device file"),
        (lambda _: [Path(__file__)], SensorUnavailableError, "is not a device file"),
    ],
)
def test_what_is_no_device_is_refused(
    tmp_path: Path, paths: Callable[[Path], list[Path]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SimulatedSensor(paths(tmp_path), rhythm=Rhythm())


def test_states_are_not_needed_for_the_energy(device: Path) -> None:
    """The curve tells; a state that is an hour old changes nothing."""
    writer = DeviceFileWriter(
        device, identity=DeviceIdentity(uuid="GPU-1"), resting_power_mw=1000, monotonic_ns=lambda: MS
    )
    writer.write(DeviceState(time_ns=MS, energy_mj=0, power_mw=9, resting_power_mw=1000))
    assert counts(device, Rhythm(tick_ns=TICK), [3_600_000]) == [3_600_000]


def test_a_look_shows_what_the_simulator_wrote_beside_the_energy(device: Path) -> None:
    identity = DeviceIdentity(uuid="GPU-1", memory_bytes=1000, power_limit_mw=700_000)
    path = device.with_name("1.device")
    writer = DeviceFileWriter(path, identity=identity, resting_power_mw=1000, monotonic_ns=lambda: MS)
    shown = DeviceState(
        time_ns=MS, energy_mj=0, power_mw=90_500, resting_power_mw=1000, memory_used_bytes=600, utilisation_percent=101,
        temperature_celsius=71, clock_reasons=0x4,
    )  # fmt: skip
    writer.write(shown)
    sensor = SimulatedSensor([path], rhythm=Rhythm(tick_ns=TICK), monotonic_ns=lambda: 7 * MS)
    assert isinstance(sensor, Diagnosing)
    look = sensor.diagnose(sensor.devices()[0])
    assert (look.time_ns, look.power_watts, look.power_limit_watts) == (7 * MS, 90.5, 700.0)
    assert (look.memory_used_bytes, look.memory_total_bytes, look.temperature_celsius) == (600, 1000, 71)
    assert (look.clock_reasons, suspects(look)) == (0x4, ["utilisation_percent"])
