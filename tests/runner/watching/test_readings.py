"""From ticks to watts and joules, and how busy the machine is."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.client import DeviceInfo, TickBatch
from joulebench_exporter.client import Diagnostics as Look
from joulebench_runner.watching.host import Host
from joulebench_runner.watching.readings import CSV_FIELDS, DeviceMeter, Diagnostics, Reading

INFO = DeviceInfo(
    uuid="cpu-0",
    name="A processor",
    domain=Domain.CPU,
    scope=Scope.PACKAGE,
    sensor="rapl",
    sensor_kind=SensorKind.MEASURED,
    source="powercap",
    tick_period_seconds=0.1,
)
SECOND = 1_000_000_000


def batch(*ticks: tuple[float, int]) -> TickBatch:
    """Ticks at seconds, in millijoules."""
    return TickBatch(
        exporter="e",
        boot_id="b",
        device="cpu-0",
        first_sequence=1,
        time_ns=[round(at * SECOND) for at, _ in ticks],
        bracket_ns=[0 for _ in ticks],
        energy_mj=[energy for _, energy in ticks],
        flags=[0 for _ in ticks],
    )


def meter(*ticks: tuple[float, int], start: float = 0) -> DeviceMeter:
    made = DeviceMeter(INFO, start_ns=round(start * SECOND))
    made.add(batch(*ticks))
    return made


def read(one: DeviceMeter) -> Reading:
    return one.reading(realtime_ns=1_790_000_000 * SECOND, diagnostics=Diagnostics())


def test_watts_now_are_those_since_the_reading_before() -> None:
    one = meter((0, 0), (1, 5_000))
    assert (read(one).power_watts, read(one).mean_watts) == (5, 5)
    one.add(batch((2, 15_000)))
    found = read(one)
    assert (found.power_watts, found.mean_watts, found.energy_joules) == (10, 7.5, 15)


def test_what_a_device_tells_itself_stays_until_it_tells_anew() -> None:
    one = meter((0, 0), (1, 5_000))
    told = Look(time_ns=SECOND, utilisation_percent=80, memory_used_bytes=2**30, temperature_celsius=61)
    one.add(replace(batch((2, 10_000)), look=told))
    one.add(batch((3, 15_000)))
    found = read(one)
    assert (found.utilisation_percent, found.memory_bytes, found.temperature_celsius) == (80, 2**30, 61)


def test_what_was_used_before_the_watching_began_does_not_count() -> None:
    assert read(meter((0, 0), (1, 90_000), (2, 93_000), start=1.5)).energy_joules == 3


def test_a_slow_counter_keeps_its_power_between_its_ticks() -> None:
    one = meter((0, 0), (1, 5_000))
    read(one)
    assert read(one).power_watts == 5


def test_nothing_is_known_before_two_ticks() -> None:
    assert read(meter((0, 7))).power_watts is None
    assert read(DeviceMeter(INFO, start_ns=0)).energy_joules is None


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=30), st.lists(st.booleans(), min_size=30, max_size=30))
def test_intervals_add_up_to_the_energy_since_the_start(steps: list[int], read_after: list[bool]) -> None:
    one, total, energy, last = meter((0, 0)), 0.0, 0, 0
    for place, (step, now) in enumerate(zip(steps, read_after, strict=False), start=1):
        energy += step
        one.add(batch((place, energy)))
        if now or place == len(steps):
            total += (read(one).power_watts or 0.0) * (place - last)
            last = place
    assert read(one).energy_joules == energy / 1000
    assert total == pytest.approx(energy / 1000)


def test_a_line_of_csv_has_what_people_record() -> None:
    assert CSV_FIELDS == (
        "time", "device", "name", "kind", "utilisation_percent", "memory_bytes", "temperature_celsius", "power_watts",
        "energy_joules",
    )  # fmt: skip


def machine(folder: Path, *, busy: int, idle: int) -> None:
    (folder / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n")
    (folder / "meminfo").write_text("MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:  400 kB\n")


def test_the_machine_tells_how_busy_it_is(tmp_path: Path) -> None:
    machine(tmp_path, busy=100, idle=100)
    (tmp_path / "thermal_zone0").mkdir()
    (tmp_path / "thermal_zone0" / "type").write_text("x86_pkg_temp\n")
    (tmp_path / "thermal_zone0" / "temp").write_text("51500\n")
    host = Host(proc=tmp_path, thermal=tmp_path)
    machine(tmp_path, busy=175, idle=125)
    assert host.diagnostics() == Diagnostics(utilisation_percent=75, memory_bytes=600 * 1024, temperature_celsius=51.5)


def test_a_machine_without_proc_tells_nothing(tmp_path: Path) -> None:
    assert Host(proc=tmp_path, thermal=tmp_path).diagnostics() == Diagnostics()
