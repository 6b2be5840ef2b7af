"""Runs of several meters, exporters and boots; sleeps and wall-clock steps. Every joule stays accounted for."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulebench_runner.attribution.ticks import SLEPT, TickFlag
from joulebench_runner.journal.schema import Kind

Run = Any  # the builder of conftest.py
SECOND = 1_000_000_000


def two_exporters(run: Run, *, second_origin_uj: int | None, wraps_uj: int | None = None, back_at: float = 6) -> Run:
    """100 W; the first exporter sees 0 to 5 s, the second from `back_at`. The first tick of the first is at 50 J."""
    run.plan().device(counter_origin_uj=50_000_000, counter_wraps_uj=wraps_uj).ticks(end=5)
    run.device(exporter="exporter-2", counter_origin_uj=second_origin_uj, counter_wraps_uj=wraps_uj)
    run.ticks(exporter="exporter-2", start=back_at, end=12)
    return run.stage("run", 1, 11).begin("q1").call("q1", 2, 8).finish("q1")


def test_over_a_restart_of_the_exporter_nothing_is_lost_where_the_counter_goes_on(empty: Run) -> None:
    # 50 J at 0 s and 100 W: 650 J at 6 s.
    results = two_exporters(empty, second_origin_uj=650_000_000).results()

    energy = results.summary.energy
    assert energy.total_joules == 1000.0
    assert energy.conserved is True
    assert "counter_reset" not in energy.unattributed
    # A second without a tick is split like any other; the flag says that there was a gap.
    assert energy.queries_joules == 600.0
    flags = results.tables["energy.parquet"]["flags"].to_pylist()
    assert [flag for flag in flags if flag] == [TickFlag.GAP]


def test_a_long_absence_of_the_exporter_is_one_tick_that_is_not_split(empty: Run) -> None:
    energy = two_exporters(empty, second_origin_uj=750_000_000, back_at=7).results().summary.energy

    assert energy.total_joules == 1000.0
    assert energy.unattributed == {"missed_ticks": 200.0}
    assert energy.conserved is True


def test_a_counter_that_wrapped_meanwhile_goes_on_too(empty: Run) -> None:
    # It wraps at 600 J: 650 J is shown as 50 J.
    energy = two_exporters(empty, second_origin_uj=50_000_000, wraps_uj=600_000_000).results().summary.energy

    assert energy.total_joules == 1000.0
    assert energy.conserved is True


@pytest.mark.parametrize("origin", [None, 3_000_000])
def test_a_counter_that_began_anew_leaves_the_time_between_unknown(empty: Run, origin: int | None) -> None:
    energy = two_exporters(empty, second_origin_uj=origin).results().summary.energy

    assert energy.total_joules == 900.0
    assert energy.conserved is True
    assert energy.coverage_percent == pytest.approx(90.0)


def test_a_resumed_run_has_a_window_a_meter_and_each_question_once(empty: Run) -> None:
    run = empty.plan().device().ticks(end=6)
    run.stage("run", 1, None).begin("q1").call("q1", 2, 4).finish("q1", 4).begin("q2", 4).call_begin("q2", 4)
    run.instance = "meter-2"
    # The exporter replays what it has to whom it does not know.
    run.device().ticks(end=30)
    run.stage("run", 20, 24).begin("q2", 20, attempt=1).call("q2", 20, 23, attempt=1).finish("q2", 23, attempt=1)

    results = run.results()

    energy = results.summary.energy
    assert results.summary.counts.asked == results.summary.counts.answered == 2
    assert energy.total_joules == 500.0 + 400.0
    assert energy.queries_joules == 200.0 + 300.0
    assert energy.unattributed == {"abandoned": 200.0}
    assert energy.conserved is True


def test_another_boot_is_a_window_with_its_own_boundary(empty: Run) -> None:
    empty.plan().device().ticks().stage("run", 1.05, 10.95).begin("q1").call("q1", 2, 6).finish("q1")
    empty.instance, empty.boot = "meter-2", "boot-2"
    # The monotonic clock began anew, and so did the counter.
    empty.device(boot_id="boot-2", exporter="exporter-2").ticks(exporter="exporter-2", end=8)
    empty.stage("run", 1.05, 6.95).begin("q2", 2).call("q2", 2, 6).finish("q2")

    energy = empty.results().summary.energy

    assert energy.total_joules == 1000.0 + 600.0
    assert energy.boundary_joules == 2 * (5.0 + 5.0)
    assert energy.queries_joules == 400.0 + 400.0
    assert energy.conserved is True
    assert energy.coverage_percent == pytest.approx(100.0)


def test_energy_of_a_sleep_is_nobodys_and_its_ticks_say_so(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6).finish("q1")
    run.add(Kind.SUSPEND, 4, start_ns=round(3.55 * SECOND), end_ns=round(3.95 * SECOND), slept_ns=60 * SECOND)

    results = run.results()

    energy = results.summary.energy
    assert energy.unattributed == {"missed_ticks": 50.0}
    assert energy.queries_joules == 350.0
    assert energy.conserved is True
    # Its bound says what it may have used.
    assert run.row("q1")["energy_high_joules"] == pytest.approx(400.0, abs=0.01)
    flags = results.tables["energy.parquet"]["flags"].to_pylist()
    assert sum(flag & SLEPT != 0 for flag in flags) == 5


# Of the fixture only its type is used, so that each example has a builder of its own.
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(-10 * 365 * 86_400, 10 * 365 * 86_400), min_size=1, max_size=4))
def test_steps_of_the_wall_clock_change_no_figure(empty: Run, steps: list[int]) -> None:
    run = type(empty)().plan().device().ticks().stage("run", 1, 11)
    run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1")
    before = run.results()
    (pair,) = run.clocks
    run.clocks += [
        replace(pair, monotonic_ns=number * SECOND, realtime_ns=pair.realtime_ns + (number + step) * SECOND)
        for number, step in enumerate(steps, start=2)
    ]

    after = run.results()

    def figures(results: Any) -> Any:
        return results.summary.model_copy(update={"stages": [stage.seconds for stage in results.summary.stages]})

    assert figures(after) == figures(before)
    for name, table in before.tables.items():
        timeless = [column for column in table.column_names if not str(table[column].type).startswith("timestamp")]
        assert after.tables[name].select(timeless).equals(table.select(timeless))


SPANS = st.tuples(st.integers(0, 115), st.integers(2, 60)).map(lambda span: (span[0] / 10, sum(span) / 10))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ticking=st.lists(SPANS, min_size=1, max_size=3), asked=st.lists(SPANS, min_size=1, max_size=6))
def test_whichever_devices_are_seen_while_a_question_runs_every_joule_is_accounted_for(
    empty: Run, ticking: list[tuple[float, float]], asked: list[tuple[float, float]]
) -> None:
    run = type(empty)().plan().stage("run", 1, 11)
    for number, (start, end) in enumerate(ticking):
        run.device(f"cpu-{number}").ticks(f"cpu-{number}", start=start, end=end, watts=100 + number)
    for number, (start, end) in enumerate(asked):
        run.begin(f"q{number}").call(f"q{number}", start, end).finish(f"q{number}")

    results = run.results()

    energy = results.summary.energy
    assert energy.conserved is (energy.problem is None)
    rows = results.tables["queries.parquet"]["energy_mj"].to_pylist()
    assert sum(filter(None, rows)) / 1000 == (energy.queries_joules or 0)


def test_what_was_written_down_becomes_a_warning_once(run: Run) -> None:
    for at in (2, 3):
        run.add(Kind.NOTE, at, topic="restart", subject="driver", message="it was started again")
    run.add(Kind.NOTE, 4, topic="driver", subject="completed", message="every question was answered before")

    assert run.results().summary.warnings == ["restart (driver): it was started again"]
