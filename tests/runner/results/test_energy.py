"""Where the joules go, from journal to summary. The device draws 100 W; the measured window is 10 s."""

from typing import Any

import pytest

from joulebench_api.contracts.energy import Domain, Method, SensorKind
from joulebench_runner.attribution import core
from joulebench_runner.config import Upstream
from joulebench_runner.errors import RunnerError
from joulebench_runner.journal.schema import Kind

Run = Any  # the builder of conftest.py


def test_one_question_gets_its_time_and_the_rest_is_idle(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1")

    energy = run.results().summary.energy

    assert energy.conserved is True
    assert energy.problem is None
    assert energy.total_joules == 1000.0
    assert energy.queries_joules == 400.0
    assert energy.idle_joules == 600.0
    assert (energy.judge_joules, energy.unattributed_joules, energy.boundary_joules, energy.shared_joules) == (
        0,
        0,
        0,
        0,
    )
    assert energy.prefill_joules == 100.0
    assert energy.decode_joules == 300.0
    assert energy.per_correct_joules == 400.0
    assert energy.per_correct_all_in_joules == 1000.0
    assert energy.mean_watts == pytest.approx(100.0)
    assert energy.baseline_watts == pytest.approx(100.0)
    assert energy.coverage_percent == pytest.approx(100.0)
    assert energy.kind is SensorKind.MEASURED
    assert energy.clock_error_seconds == 0.0


def test_the_row_and_the_turn_have_the_same_joules_in_both_units(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1")

    for row in (run.row("q1"), run.turn("c1")):
        assert row["energy_mj"] == 400_000
        assert row["energy_joules"] == 400.0
        assert row["prefill_joules"] == 100.0
        assert row["decode_joules"] == 300.0
        assert row["energy_method"] == "Phase"
        assert row["energy_low_joules"] <= 400.0 <= row["energy_high_joules"]
        assert row["energy_low_joules"] > 399.0


def test_a_window_between_ticks_has_its_edges_in_boundary(empty: Run) -> None:
    empty.plan().device().ticks().stage("run", 1.03, 10.98).begin("q1").call("q1", 1.03, 10.98).finish("q1")

    energy = empty.results().summary.energy

    assert energy.boundary_joules == 3.0 + 2.0
    assert energy.queries_joules == 995.0
    assert energy.total_joules == 1000.0


def test_the_judge_is_billed_apart(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6).call("q1", 6, 8, alias="judge", role="judge").finish("q1")

    energy = run.results().summary.energy

    assert (energy.queries_joules, energy.judge_joules) == (400.0, 200.0)
    assert run.row("q1")["energy_joules"] == 400.0
    assert run.turn("c2")["energy_bucket"] == "judge"


def test_a_call_without_an_id_is_unjoined(run: Run) -> None:
    run.call(None, 2, 4)

    energy = run.results().summary.energy

    assert energy.unattributed == {"unjoined": 200.0}
    assert energy.unattributed_joules == 200.0


def test_an_attempt_that_never_finished_is_abandoned_and_the_one_that_did_counts(run: Run) -> None:
    run.begin("q1").call("q1", 2, 3).begin("q1", 4, attempt=1).call("q1", 4, 6, attempt=1).finish("q1", attempt=1)

    energy = run.results().summary.energy

    assert energy.unattributed == {"abandoned": 100.0}
    assert energy.queries_joules == 200.0
    assert run.row("q1")["energy_joules"] == 200.0
    assert run.row("q1")["attempt"] == 1


def test_a_call_that_a_crash_cut_off_is_abandoned_until_the_end_of_the_window(run: Run) -> None:
    run.begin("q1").call_begin("q1", 8)

    assert run.results().summary.energy.unattributed == {"abandoned": 300.0}


def test_a_failed_try_and_its_retry_are_both_the_questions(run: Run) -> None:
    run.begin("q1").call("q1", 2, 3, status=503, error="503", prompt_tokens=None, output_tokens=None)
    run.call("q1", 3, 5, retry=1).finish("q1")

    row = run.row("q1")

    assert row["energy_joules"] == 300.0
    assert (row["turns"], row["calls"]) == (1, 2)
    assert row["energy_method"] == "Mixed"


def test_a_call_without_usage_is_split_equally_and_counted(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6, prompt_tokens=None, output_tokens=None).finish("q1")
    run.begin("q2").call("q2", 2, 6, prompt_tokens=1000, output_tokens=500).finish("q2")

    energy = run.results().summary.energy

    assert energy.fallback_calls == 1
    assert run.row("q1")["energy_joules"] == run.row("q2")["energy_joules"] == 200.0
    assert run.turn("c1")["energy_method"] == "Equal"


def test_the_method_equal_is_blind_to_tokens(run: Run, settings: Any) -> None:
    run.begin("q1").call("q1", 2, 6, prompt_tokens=10).finish("q1")
    run.begin("q2").call("q2", 2, 6, prompt_tokens=5000).finish("q2")

    assert run.row("q1", settings=settings(method=Method.EQUAL))["energy_joules"] == 200.0
    assert run.row("q1")["energy_joules"] < 100.0


def test_a_method_that_is_not_there_is_an_error(run: Run, settings: Any) -> None:
    with pytest.raises(RunnerError, match="Window"):
        run.results(settings=settings(method=Method.WINDOW))


def test_kappa_is_a_parameter_and_is_written_down(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6, prompt_tokens=1000).finish("q1")
    run.begin("q2").call("q2", 2, 6, prompt_tokens=1, output_tokens=100).finish("q2")

    assert run.row("q1", kappa=1.0)["energy_joules"] > run.row("q1", kappa=0.1)["energy_joules"]
    assert run.results(kappa=0.7).provenance["energy"]["kappa"] == 0.7


def test_foreign_load_is_seen_where_the_server_tells(run: Run) -> None:
    run.begin("q1").call("q1", 1, 11).finish("q1")
    for at in range(1, 12):
        run.scrape(at, running=2.0 if 3 <= at <= 5 else 1.0, own=1)
        run.scrape(at, running=1.0, own=1, alias="judge")

    energy = run.results().summary.energy

    assert energy.foreign_joules == 100.0
    assert energy.foreign_reason is None
    assert energy.queries_joules == 900.0


def test_foreign_load_is_null_where_the_server_does_not_tell(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6).finish("q1").scrape(3, running=None, own=1)

    energy = run.results().summary.energy

    assert energy.foreign_joules is None
    assert energy.devices[0].foreign_joules is None
    assert energy.foreign_reason is not None
    assert "model" in energy.foreign_reason
    assert energy.conserved is True


def test_a_server_elsewhere_uses_none_of_our_joules(run: Run, settings: Any) -> None:
    local = Upstream(alias="model", role="model", model="tiny", base_urls=["http://s/v1"])
    remote = Upstream(alias="judge", role="judge", model="wise", base_urls=["http://far/v1"], measured=False)
    run.begin("q1").call("q1", 2, 6).call("q1", 2, 6, alias="judge", role="judge").finish("q1")

    energy = run.results(settings=settings(upstreams=[local, remote])).summary.energy

    assert (energy.queries_joules, energy.judge_joules) == (400.0, 0.0)
    assert run.turn("c2", settings=settings(upstreams=[local, remote]))["energy_mj"] is None


def test_without_ticks_joules_are_null_with_the_reason(empty: Run) -> None:
    empty.plan().stage("run", 1, 11).begin("q1").call("q1", 2, 6).finish("q1")

    results = empty.results()

    assert results.summary.energy.problem == "no energy ticks arrived"
    assert results.summary.energy.total_joules is None
    assert results.summary.energy.conserved is False
    assert results.summary.efficiency.ipj is None
    assert results.tables["queries.parquet"]["energy_mj"].to_pylist() == [None]
    assert results.summary.counts.correct == 1


def test_a_known_problem_is_said_in_its_own_words(run: Run, settings: Any) -> None:
    told = run.results(settings=settings(problem="the server is on another machine")).summary.energy

    assert told.problem == "the server is on another machine"
    assert told.total_joules is None


def test_devices_of_other_domains_are_not_counted(run: Run, settings: Any) -> None:
    run.device("gpu-0", domain="GPU").ticks("gpu-0", watts=300)
    run.device("psys-0", domain="PSYS").ticks("psys-0", watts=500)

    assert run.results().summary.energy.total_joules == 1000.0
    both = settings(domains=[Domain.CPU, Domain.GPU, Domain.PSYS])
    assert run.results(settings=both).summary.energy.total_joules == 4000.0
    none = run.results(settings=settings(domains=[Domain.DRAM])).summary.energy
    assert none.problem is not None
    assert "CPU" in none.problem


def test_devices_add_up_and_the_least_real_kind_names_the_sum(run: Run, settings: Any) -> None:
    run.device("dram-0", domain="DRAM", sensor="guess", sensor_kind="modelled").ticks("dram-0", watts=10)
    run.begin("q1").call("q1", 2, 6).finish("q1")

    energy = run.results(settings=settings(domains=[Domain.CPU, Domain.DRAM])).summary.energy

    assert energy.total_joules == 1100.0
    assert energy.queries_joules == 440.0
    assert energy.kind is SensorKind.MODELLED
    assert [device.total_joules for device in energy.devices] == [1000.0, 100.0]
    assert energy.conserved is True


def test_a_reset_is_unattributed_and_lowers_the_coverage(empty: Run) -> None:
    empty.plan().device().ticks(flags={50: 2}).stage("run", 1, 11).begin("q1").call("q1", 1, 11).finish("q1")

    results = empty.results()

    assert results.summary.energy.unattributed == {"counter_reset": 10.0}
    assert results.summary.energy.coverage_percent == pytest.approx(99.0)
    assert results.summary.energy.conserved is True
    assert results.tables["queries.parquet"]["energy_high_joules"].to_pylist()[0] >= 1000.0


def test_missed_ticks_are_unattributed_and_warned_about(empty: Run) -> None:
    empty.plan().device().ticks(end=4).ticks(start=7, end=12, first_sequence=71, first_mj=700_000)
    empty.stage("run", 1, 11).begin("q1").call("q1", 1, 11).finish("q1")

    summary = empty.results().summary

    assert summary.energy.unattributed == {"missed_ticks": 300.0}
    assert summary.energy.queries_joules == 700.0
    assert summary.energy.coverage_percent == pytest.approx(70.0)
    assert any("70.0 %" in warning for warning in summary.warnings)


def test_ticks_that_came_twice_count_once(run: Run) -> None:
    run.ticks(start=3, end=5, first_sequence=31, first_mj=300_000).begin("q1").call("q1", 2, 6).finish("q1")

    results = run.results()

    assert results.summary.energy.total_joules == 1000.0
    assert results.tables["energy.parquet"].num_rows == 121


def test_an_exporter_that_was_restarted_goes_on_with_a_reset(empty: Run) -> None:
    empty.plan().device().ticks(end=5)
    empty.device(exporter="exporter-2").ticks(start=5.5, end=12, exporter="exporter-2")
    empty.stage("run", 1, 11).begin("q1").call("q1", 1, 11).finish("q1")

    energy = empty.results().summary.energy

    assert energy.queries_joules == 950.0
    assert energy.coverage_percent == pytest.approx(95.0)
    assert energy.conserved is True


def test_the_exporters_clock_is_brought_to_the_meters(empty: Run) -> None:
    second = 1_000_000_000
    empty.plan().device(boot_id="boot-9").ticks(shift=5000).stage("run", 1, 11)
    empty.add(
        Kind.PING, 1, exporter="exporter-1", boot_id="boot-9", t0_ns=second, t1_ns=5001 * second + 50_000,
        t2_ns=5001 * second + 50_000, t3_ns=second + 100_000,
    )  # fmt: skip
    empty.begin("q1").call("q1", 2, 6).finish("q1")

    results = empty.results()

    assert results.summary.energy.queries_joules == pytest.approx(400.0, abs=0.01)
    assert results.summary.energy.clock_error_seconds == pytest.approx(0.00005 + 0.0012, abs=0.0002)
    assert results.provenance["energy"]["clocks"][0]["offset_ns"] == 5000 * second


def test_a_device_whose_clock_is_unknown_is_said_to_be(empty: Run) -> None:
    empty.plan().device(boot_id="boot-9").ticks().stage("run", 1, 11)

    summary = empty.results().summary

    assert summary.energy.problem is not None
    assert "ping" in summary.energy.problem


def test_only_the_stage_run_is_measured_and_others_have_their_own_energy(run: Run) -> None:
    run.call(None, 0.2, 0.5, stage="warmup").begin("q1").call("q1", 2, 6).finish("q1").stage("export", 11.5, None)

    summary = run.results().summary

    assert summary.energy.unattributed_joules == 0
    assert [(stage.name, stage.energy_joules) for stage in summary.stages] == [
        ("baseline", 60.0),
        ("run", 1000.0),
        ("export", 50.0),
    ]
    assert summary.stages[0].seconds == pytest.approx(0.6)
    assert summary.stages[0].started_at == "2026-09-21T14:13:20.200Z"
    assert summary.stages[2].seconds is None
    assert run.turn("c1")["energy_mj"] is None


def test_a_resumed_run_has_two_windows(run: Run) -> None:
    run.ticks(start=12.1, end=40, first_sequence=122, first_mj=1_210_000)
    run.begin("q1").call("q1", 2, 6).finish("q1").begin("q2").call("q2", 8, 10)
    run.instance = "meter-2"
    run.stage("run", 20, 30).begin("q2", 21, attempt=1).call("q2", 21, 24, attempt=1).finish("q2", 25, attempt=1)

    results = run.results()

    assert results.summary.energy.total_joules == 2000.0
    assert results.summary.energy.queries_joules == 700.0
    assert results.summary.energy.unattributed == {"abandoned": 200.0}
    assert results.summary.throughput.queries_per_second == pytest.approx(2 / 20)
    assert results.summary.counts.asked == 2
    assert results.summary.energy.conserved is True


def test_a_run_that_goes_on_with_another_device_is_measured_on_each_in_its_time(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6).finish("q1")
    run.instance = "meter-2"
    run.device("cpu-1", exporter="exporter-2").ticks("cpu-1", exporter="exporter-2", start=20, end=32)
    run.stage("run", 21, 31).begin("q2", 22).call("q2", 22, 25).finish("q2", 26)

    energy = run.results().summary.energy

    assert energy.conserved is True
    assert (energy.queries_joules, energy.idle_joules, energy.total_joules) == (700.0, 1300.0, 2000.0)
    assert [device.total_joules for device in energy.devices] == [1000.0, 1000.0]
    assert energy.coverage_percent == pytest.approx(100.0)
    assert energy.mean_watts == pytest.approx(100.0)
    assert (run.row("q1")["energy_joules"], run.row("q2")["energy_joules"]) == (400.0, 300.0)


def test_a_device_that_no_tick_came_from_lowers_the_coverage_of_its_time(run: Run) -> None:
    run.device("cpu-1").ticks("cpu-1")
    run.instance = "meter-2"
    run.device("cpu-0").ticks("cpu-0", start=20, end=32, first_sequence=122, first_mj=1_200_000)
    run.device("cpu-1").stage("run", 21, 31)

    assert run.results().summary.energy.coverage_percent == pytest.approx(50.0)


def test_a_window_without_an_end_goes_to_the_last_known_time(empty: Run) -> None:
    empty.plan().device().ticks(end=12).stage("run", 1, None).begin("q1").call("q1", 2, 6).finish("q1", 9)

    assert empty.results(outcome="interrupted").summary.energy.total_joules == 1100.0


def test_a_question_too_short_to_see_is_never_simply_nothing(empty: Run) -> None:
    empty.plan().device().ticks(watts=0).stage("run", 1, 11).begin("q1").call("q1", 2.01, 2.02).finish("q1")

    row = empty.row("q1")

    assert row["energy_mj"] == 0
    assert row["energy_high_joules"] > 0


def test_a_question_outside_all_ticks_has_unknown_energy(empty: Run) -> None:
    empty.plan().device().ticks(end=5).stage("run", 1, 11)
    empty.begin("q1").call("q1", 2, 3).finish("q1").begin("q2").call("q2", 4, 6).finish("q2")
    empty.begin("q3").call("q3", 7, 8).finish("q3")

    assert empty.row("q1")["energy_high_joules"] is not None
    assert empty.row("q2")["energy_mj"] == 100_000
    assert empty.row("q2")["energy_high_joules"] is None
    assert empty.row("q3")["energy_mj"] is None
    assert empty.results().summary.energy.conserved is True


def test_a_question_on_two_devices_of_which_one_was_lost_has_the_joules_of_the_other_and_no_upper_bound(
    empty: Run,
) -> None:
    empty.plan().device().ticks().device("cpu-1").ticks("cpu-1", end=5).stage("run", 1, 11)
    empty.begin("q1").call("q1", 2, 3).finish("q1").begin("q2").call("q2", 7, 9).finish("q2")

    energy = empty.results().summary.energy
    assert (empty.row("q1")["energy_joules"], empty.row("q2")["energy_joules"]) == (200.0, 200.0)
    assert empty.row("q1")["energy_high_joules"] is not None
    assert empty.row("q2")["energy_high_joules"] is None
    assert energy.queries_joules == 400.0
    assert energy.conserved is True


def test_conserved_is_false_when_rows_and_counter_differ(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin("q1").call("q1", 2, 6).finish("q1")
    monkeypatch.setattr(core, "split_rows", lambda totals, quotas: quotas.astype(int) - 1)

    assert run.results().summary.energy.conserved is False


def test_devices_of_two_machines_may_have_the_same_id(run: Run) -> None:
    second = 1_000_000_000
    run.device(exporter="exporter-b", boot_id="boot-b").ticks(exporter="exporter-b", watts=50)
    run.add(
        Kind.PING, 1, exporter="exporter-b", boot_id="boot-b", t0_ns=second, t1_ns=second, t2_ns=second, t3_ns=second
    )

    energy = run.results().summary.energy

    assert [device.total_joules for device in energy.devices] == [1000.0, 500.0]
    assert energy.mean_watts == pytest.approx(150.0)


def test_a_window_without_any_ticks_lowers_the_coverage(run: Run) -> None:
    run.instance, run.boot = "meter-2", "boot-2"
    run.stage("run", 1, 11)

    energy = run.results().summary.energy

    assert energy.coverage_percent == pytest.approx(50.0)
    assert energy.mean_watts == pytest.approx(100.0)
