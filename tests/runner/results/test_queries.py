"""One row a question: texts, scores, times and tokens."""

from datetime import UTC, datetime
from typing import Any

import pytest

Run = Any  # the builder of conftest.py


def test_a_row_has_what_was_asked_and_answered(run: Run) -> None:
    run.begin("q1", 2, subject="counting", record_id="r-7", epoch=2)
    run.finish("q1", response="42", score=1.0, correct=True, scorer="exact", explanation="same")

    row = run.row("q1")

    assert {name: row[name] for name in ("record_id", "epoch", "subject", "response", "reference", "score")} == {
        "record_id": "r-7",
        "epoch": 2,
        "subject": "counting",
        "response": "42",
        "reference": "42",
        "score": 1.0,
    }
    assert (row["correct"], row["error"], row["turns"], row["calls"]) == (True, None, 0, 0)
    assert row["started_at"] == datetime(2026, 9, 21, 14, 13, 22, tzinfo=UTC)


def test_what_is_not_known_is_null_and_not_zero(run: Run) -> None:
    run.begin("q1").call("q1", 2, 3, prompt_tokens=None, output_tokens=None).finish("q1")

    row = run.row("q1")

    for name in ("prompt_tokens", "cached_prompt_tokens", "output_tokens", "ttft_seconds", "tpot_seconds", "score"):
        assert row[name] is None


def test_a_question_without_any_call_has_no_energy_figure(run: Run) -> None:
    run.begin("q1").finish("q1", correct=None, error="no server")

    row = run.row("q1")

    assert row["energy_mj"] is None
    assert row["e2e_seconds"] is None
    assert row["energy_method"] is None


def test_times_count_from_the_intended_send(run: Run) -> None:
    run.begin("q1").call("q1", 2, 7, chunks=(3, 4, 6), intended_ns=1_500_000_000, output_tokens=7).finish("q1")

    row = run.row("q1")

    assert row["ttft_seconds"] == 1.5
    assert row["tpot_seconds"] == pytest.approx(3 / 6)
    assert row["e2e_seconds"] == 5.5


def test_several_turns_are_one_question(run: Run) -> None:
    run.begin("q1")
    run.call("q1", 5, 9, chunks=(6, 8), output_tokens=5, prompt_tokens=20, finish_reason="stop", server_pod="pod-b")
    run.call("q1", 2, 4, chunks=(3, 4), output_tokens=3, finish_reason="tool_calls", server_pod="pod-a")
    run.call("q1", 9, 10, chunks=(9.5,), alias="judge", role="judge", output_tokens=99).finish("q1")

    row = run.row("q1")

    assert (row["turns"], row["prompt_tokens"], row["output_tokens"]) == (2, 30, 8)
    assert row["ttft_seconds"] == 1.0
    assert row["e2e_seconds"] == 7.0
    assert row["tpot_seconds"] == pytest.approx((2 + 1) / (4 + 2))
    assert (row["finish_reason"], row["server_pod"]) == ("stop", "pod-b")


def test_tokens_are_null_when_one_turn_did_not_report_them(run: Run) -> None:
    run.begin("q1").call("q1", 2, 3).call("q1", 3, 4, prompt_tokens=None, output_tokens=None).finish("q1")

    assert run.row("q1")["output_tokens"] is None
    tokens = run.results().summary.tokens
    assert (tokens.output, tokens.prompt, tokens.calls_without_usage) == (2, 10, 1)


def test_embeddings_have_no_output_and_are_no_fallback(run: Run) -> None:
    run.begin("q1").call("q1", 2, 3, endpoint="embeddings", output_tokens=None).finish("q1")

    assert run.row("q1")["output_tokens"] == 0
    assert run.row("q1")["energy_method"] == "Phase"
    assert run.results().summary.tokens.calls_without_usage == 0


def test_one_chunk_gives_no_time_per_token(run: Run) -> None:
    run.begin("q1").call("q1", 2, 4, chunks=(3,), output_tokens=9).finish("q1")

    assert run.row("q1")["tpot_seconds"] is None
    assert run.row("q1")["prefill_joules"] is None


def test_counts_add_up(run: Run) -> None:
    run.begin("right").finish("right", correct=True).begin("wrong").finish("wrong", correct=False)
    run.begin("unscored").finish("unscored", correct=None, unscored_reason="no number in the answer")
    run.begin("failed").finish("failed", correct=None, error="timeout").begin("open")

    counts = run.results(outcome="interrupted").summary.counts

    assert counts.model_dump() == {
        "asked": 5,
        "answered": 3,
        "correct": 1,
        "incorrect": 1,
        "unscored": 1,
        "errors": 2,
    }
    assert run.row("open")["error"] == "not finished"


def test_an_error_is_never_a_wrong_answer(run: Run) -> None:
    run.begin("q1").finish("q1", correct=False, error="the sandbox died")

    assert run.row("q1")["correct"] is None
    assert run.results().summary.counts.incorrect == 0


def test_an_unfinished_question_has_its_joules_in_unattributed(run: Run) -> None:
    run.begin("q1").call("q1", 2, 4)

    assert run.row("q1")["energy_mj"] is None
    assert run.turn("c1")["energy_joules"] == 200.0
    assert run.turn("c1")["energy_bucket"] == "abandoned"


def test_the_latest_attempt_that_finished_counts_and_gives_one_row(run: Run) -> None:
    run.begin("q1", 2).call("q1", 2, 3).finish("q1", 3, response="old")
    run.begin("q1", 4, attempt=1).call("q1", 4, 6, attempt=1).finish("q1", 6, attempt=1, response="new")
    run.begin("q1", 8, attempt=2)

    results = run.results()

    assert results.tables["queries.parquet"].num_rows == 1
    assert run.row("q1")["response"] == "new"
    assert results.summary.energy.unattributed == {"superseded": 100.0}


def test_the_first_acknowledged_finish_counts(run: Run) -> None:
    run.begin("q1").finish("q1", response="first").finish("q1", response="second")

    assert run.row("q1")["response"] == "first"


def test_rows_are_in_the_order_of_asking(run: Run) -> None:
    for name in ("c", "a", "b"):
        run.begin(name)
    run.begin("c", 5, attempt=1)

    assert run.results().tables["queries.parquet"]["query_id"].to_pylist() == ["c", "a", "b"]


def test_accuracy_counts_all_that_was_asked(run: Run) -> None:
    run.begin("q1").finish("q1").begin("q2").finish("q2", correct=None, error="x")

    accuracy = run.results().summary.accuracy

    assert accuracy is not None
    assert accuracy.value == 0.5


def test_a_task_that_is_not_scored_has_no_accuracy(empty: Run) -> None:
    empty.plan(scored=False).begin("q1").finish("q1", correct=None)

    summary = empty.results().summary

    assert summary.accuracy is None
    assert summary.counts.unscored == 1


def test_efficiency_follows_its_definitions(run: Run) -> None:
    run.begin("q1").call("q1", 2, 6, output_tokens=80).finish("q1")
    run.begin("q2").call("q2", 6, 8, output_tokens=20).finish("q2", correct=False)

    summary = run.results().summary

    assert summary.efficiency.ipj == pytest.approx(0.5 / 300)
    assert summary.efficiency.ipw == pytest.approx(0.5 / 100)
    assert summary.efficiency.joules_per_output_token == pytest.approx(600 / 100)
    assert summary.throughput.queries_per_second == pytest.approx(0.2)
    assert summary.throughput.output_tokens_per_second == pytest.approx(10)
    assert summary.latency.e2e_seconds is not None
    assert summary.latency.e2e_seconds.mean == 3.0


def test_a_run_that_ended_before_anything_still_has_a_summary(empty: Run) -> None:
    summary = empty.results(outcome="failed", message="the server never got ready").summary

    assert summary.state == "failed"
    assert summary.message == "the server never got ready"
    assert summary.task is None
    assert summary.accuracy is None
    assert summary.counts.asked == 0
    assert summary.stages == []


def test_the_journals_problems_are_warnings(run: Run) -> None:
    run.problems.append("00000003.arrows: cut off after 17 rows")

    assert "journal: 00000003.arrows: cut off after 17 rows" in run.results().summary.warnings
