"""What a run shows of its devices, from the journal's looks. The measured window is from 1 s to 11 s."""

from typing import Any

import pytest

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.summary import Gpu, Summary

Run = Any  # the builder of conftest.py
HW_THERMAL, SW_POWER_CAP = 0x40, 0x4
COLUMNS = (
    "device_mean_watts", "device_max_watts", "device_mean_utilisation_percent", "device_max_memory_bytes",
    "device_max_temperature_celsius", "device_throttling_seconds",
)  # fmt: skip


@pytest.fixture
def on_gpu(run: Run, settings: Any) -> Run:
    """A board beside the processor, looked at every second, which is busy from the look at 4 s to that at 6 s."""
    board = {"name": "A board", "domain": "GPU", "scope": "Board", "sensor": "nvml"}
    run.device("gpu-0", **board).ticks("gpu-0", watts=300)
    for at in range(13):
        busy = 4 <= at <= 6
        run.look(
            at,
            power_watts=600.0 if busy else 100.0,
            utilisation_percent=100 if busy else 0,
            memory_used_bytes=2000 if busy else 1000,
            temperature_celsius=40 + at,
            clock_reasons=HW_THERMAL | SW_POWER_CAP if at == 5 else 0x1,
        )
    return run


def summary(run: Run, settings: Any, **options: Any) -> Summary:
    found: Summary = run.results(settings=settings(domains=[Domain.GPU]), **options).summary
    return found


def gpu(run: Run, settings: Any) -> Gpu:
    (found,) = summary(run, settings).gpus
    return found


def row(run: Run, settings: Any, query: str = "q1") -> dict[str, Any]:
    found = run.row(query, settings=settings(domains=[Domain.GPU]))
    return {name: found[name] for name in COLUMNS}


def test_the_summary_shows_mean_and_extremes_over_the_measured_time(on_gpu: Run, settings: Any) -> None:
    board = gpu(on_gpu, settings)
    assert (board.device, board.name, board.sensor, board.looks) == ("gpu-0", "A board", "nvml", 11)
    assert board.power_watts is not None
    assert board.temperature_celsius is not None
    # Three of ten seconds at 600 W.
    assert (board.power_watts.mean, board.power_watts.max, board.power_watts.min) == pytest.approx((250, 600, 100))
    assert board.utilisation_percent is not None
    assert board.utilisation_percent.mean == pytest.approx(30)
    assert board.memory_used_bytes is not None
    assert board.memory_used_bytes.max == 2000
    assert (board.temperature_celsius.max, board.temperature_celsius.min) == (51, 41)
    assert board.throttling_seconds == pytest.approx(1.0)
    assert board.throttling_seconds_by_reason == pytest.approx({"hw_thermal": 1.0, "sw_power_cap": 1.0})
    assert board.suspect_readings == {}


def test_a_question_shows_the_time_of_its_calls_alone(on_gpu: Run, settings: Any) -> None:
    # Two calls with a pause between them, and one beside the second.
    on_gpu.begin("q1").call("q1", 2, 3).call("q1", 5, 6).call("q1", 5, 6).finish("q1")
    assert row(on_gpu, settings) == pytest.approx(
        {
            "device_mean_watts": 350,
            "device_max_watts": 600,
            "device_mean_utilisation_percent": 50,
            "device_max_memory_bytes": 2000,
            "device_max_temperature_celsius": 46,
            "device_throttling_seconds": 0.5,
        }
    )


def test_of_several_boards_each_counts_as_one(on_gpu: Run, settings: Any) -> None:
    on_gpu.device("gpu-1", name="A board", domain="GPU", scope="Board", sensor="nvml").ticks("gpu-1", watts=1)
    for at in range(13):
        on_gpu.look(at, "gpu-1", power_watts=200.0, memory_used_bytes=7000)
    on_gpu.begin("q1").call("q1", 4.5, 5).finish("q1")
    found = row(on_gpu, settings)
    assert (found["device_mean_watts"], found["device_max_watts"]) == pytest.approx((400, 600))
    assert found["device_mean_utilisation_percent"] == pytest.approx(100)
    assert found["device_max_memory_bytes"] == 7000


def test_where_nobody_tells_nothing_is_known(run: Run, settings: Any) -> None:
    run.begin("q1").call("q1", 2, 3).finish("q1")
    found = run.row("q1")
    assert {found[name] for name in COLUMNS} == {None}
    assert run.results().summary.gpus == []


def test_a_board_that_does_not_tell_is_listed_without_figures(run: Run, settings: Any) -> None:
    run.device("gpu-0", name="A board", domain="GPU", sensor="nvml").ticks("gpu-0")
    assert gpu(run, settings) == Gpu(device="gpu-0", name="A board", sensor="nvml")


def test_readings_that_cannot_be_true_are_counted_and_in_no_figure(run: Run, settings: Any) -> None:
    run.device("gpu-0", name="A board", domain="GPU", sensor="nvml").ticks("gpu-0")
    wrong = ["power_watts", "utilisation_percent"]
    run.look(4, power_watts=100.0, utilisation_percent=50, temperature_celsius=40)
    run.look(5, power_watts=-4.0, utilisation_percent=255, temperature_celsius=41, suspect=wrong)
    run.look(6, power_watts=100.0, utilisation_percent=50, temperature_celsius=42)
    run.look(11.9, power_watts=-4.0, suspect=["power_watts"])  # after the measured window
    run.begin("q1").call("q1", 4.8, 5.2).finish("q1")
    board = gpu(run, settings)
    assert board.suspect_readings == {"power_watts": 1, "utilisation_percent": 1}
    assert board.power_watts is not None
    assert (board.power_watts.mean, board.power_watts.min) == (100, 100)
    found = row(run, settings)
    assert (found["device_max_watts"], found["device_max_temperature_celsius"]) == (None, 41)
    assert [one for one in summary(run, settings).warnings if "cannot be true" in one] == [
        f"device gpu-0: 1 readings of {name} cannot be true and are in none of its figures"
        for name in ("power_watts", "utilisation_percent")
    ]


def test_a_clock_that_runs_backwards_is_marked(on_gpu: Run, settings: Any) -> None:
    # Told after the look at 12 s, by rows of the measured window.
    on_gpu.look(3, told_at=8, power_watts=9999.0).look(2, told_at=9, power_watts=9999.0)
    board = gpu(on_gpu, settings)
    assert board.suspect_readings == {"time_ns": 2}
    assert board.power_watts is not None
    assert board.power_watts.max == 600


def test_a_look_that_was_sent_again_counts_once(on_gpu: Run, settings: Any) -> None:
    once = gpu(on_gpu, settings)
    on_gpu.look(12, told_at=13, power_watts=100.0)
    assert gpu(on_gpu, settings).looks == once.looks


def test_a_restarted_exporter_goes_on_with_the_same_board(on_gpu: Run, settings: Any) -> None:
    board = {"name": "A board", "domain": "GPU", "scope": "Board", "sensor": "nvml", "exporter": "exporter-2"}
    on_gpu.device("gpu-0", **board).look(13, exporter="exporter-2", power_watts=1.0)
    assert gpu(on_gpu, settings).looks == 11


def test_a_summary_of_before_is_still_read(on_gpu: Run, settings: Any) -> None:
    old = summary(on_gpu, settings).model_dump(mode="json")
    old["gpus"] = [{"device": "gpu-0", "name": "A board", "sensor": "nvml"}]
    assert Summary.model_validate(old).gpus == [Gpu(device="gpu-0", name="A board", sensor="nvml")]


def test_looks_change_no_joules(on_gpu: Run, settings: Any) -> None:
    on_gpu.begin("q1").call("q1", 2, 6).finish("q1")
    assert summary(on_gpu, settings).energy.queries_joules == pytest.approx(1200)
