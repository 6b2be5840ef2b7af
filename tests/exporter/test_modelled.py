"""The modelled sensor: energy from CPU time."""

import sys

import pytest

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.errors import BadOptionError, SensorReadError
from joulebench_exporter.sensors.modelled import (
    IDLE_WATTS_VARIABLE,
    WATTS_PER_CORE_VARIABLE,
    Coefficients,
    ModelledSensor,
    coefficients,
    linux_busy_ns,
    parse_busy_ns,
    psutil_busy_ns,
)

SECOND_NS = 1_000_000_000
#           user nice system idle iowait irq softirq steal guest guest_nice
STAT = "cpu  1000 200 300 50000 4000 50 60 7000 600 100\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1 2 3\n"
WATTS = Coefficients(idle_microwatts=10_000_000, microwatts_per_core=4_000_000, stated_by_user=True)


def sensor(*, uptime_seconds: int = 0, busy_seconds: int = 0) -> ModelledSensor:
    return ModelledSensor(
        boot_id="0123abcd-rest",
        coefficients=WATTS,
        uptime_ns=lambda: uptime_seconds * SECOND_NS,
        busy_ns=lambda: busy_seconds * SECOND_NS,
    )


def microjoules(modelled: ModelledSensor) -> int:
    return modelled.read(modelled.devices()[0]).count


def test_energy_is_idle_watts_times_uptime_plus_core_watts_times_busy_time() -> None:
    assert microjoules(sensor(uptime_seconds=100, busy_seconds=30)) == (100 * 10 + 30 * 4) * 1_000_000


def test_it_is_cumulative_since_boot_so_a_restart_loses_nothing() -> None:
    before, after = (sensor(uptime_seconds=uptime, busy_seconds=uptime) for uptime in (100, 107))
    assert microjoules(after) - microjoules(before) == 7 * 14 * 1_000_000


def test_sums_are_exact_after_a_year() -> None:
    year_ns = 365 * 24 * 3600 * SECOND_NS
    assert (
        WATTS.microjoules(uptime_ns=year_ns + 1000, busy_ns=0) - WATTS.microjoules(uptime_ns=year_ns, busy_ns=0) == 10
    )


def test_busy_is_all_but_idle_waiting_stolen_and_guest_time() -> None:
    # guest (600) and guest_nice (100) are already in user and nice.
    assert parse_busy_ns(STAT, ticks_per_second=100) == (1000 + 200 + 300 + 50 + 60) * SECOND_NS // 100


def test_the_short_line_of_an_old_kernel_is_understood() -> None:
    assert parse_busy_ns("cpu 1 1 1 9 9 1 1\n", ticks_per_second=1) == 5 * SECOND_NS


@pytest.mark.parametrize("stat", ["", "cpu0 1 2 3 4 5 6 7\n", "cpu 1 2\n", "cpu a b c d e f g\n"])
def test_text_that_is_no_stat_file_is_a_failed_read(stat: str) -> None:
    with pytest.raises(SensorReadError, match="/proc/stat"):
        linux_busy_ns(lambda: stat)()


def test_the_device_is_the_whole_machine_and_says_that_it_is_a_model() -> None:
    (device,) = sensor().devices()
    info = device.info
    assert (info.domain, info.scope, info.sensor_kind) == (Domain.CPU, Scope.MACHINE, SensorKind.MODELLED)
    assert info.source.startswith("modelled, not measured: 10 W x uptime + 4 W x busy core time")
    assert "stated by the user" in info.source


def test_defaults_grow_with_the_cores_and_cite_their_source() -> None:
    chosen = coefficients(logical_cores=8, environment={})
    assert (chosen.idle_microwatts, chosen.microwatts_per_core) == (5_920_000, 2_760_000)
    assert "Cloud Carbon Footprint" in chosen.in_words()


def test_the_environment_overrides_the_defaults_and_options_override_both() -> None:
    environment = {IDLE_WATTS_VARIABLE: "6", WATTS_PER_CORE_VARIABLE: "1.5"}
    chosen = coefficients(idle_watts=7.25, logical_cores=8, environment=environment)
    assert (chosen.idle_microwatts, chosen.microwatts_per_core) == (7_250_000, 1_500_000)


@pytest.mark.parametrize("text", ["warm", "-1", "nan", "inf", ""])
def test_what_is_no_number_of_watts_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(BadOptionError, match=IDLE_WATTS_VARIABLE):
        coefficients(environment={IDLE_WATTS_VARIABLE: text})


def test_a_negative_option_is_refused_by_its_name() -> None:
    with pytest.raises(BadOptionError, match=r"--watts-per-core is '-2\.0'"):
        coefficients(watts_per_core=-2.0, environment={})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/stat")
def test_this_machine_has_been_busy_for_some_time() -> None:
    first, second = linux_busy_ns()(), linux_busy_ns()()
    assert 0 < first <= second


def test_psutil_gives_the_busy_time_where_there_is_no_proc() -> None:
    pytest.importorskip("psutil")
    assert psutil_busy_ns()() > 0
