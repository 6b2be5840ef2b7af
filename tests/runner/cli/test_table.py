"""The table at the end of a run."""

import io
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from joulebench_api.contracts.energy import Method, SensorKind
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.summary import (
    Accuracy,
    Client,
    CostBasis,
    Counts,
    Distribution,
    Efficiency,
    Energy,
    Latency,
    Model,
    ModelUse,
    Prices,
    Stored,
    Summary,
    Throughput,
    Tokens,
)
from joulebench_runner.cli.table import print_summary
from joulebench_runner.results.cost import cost
from joulebench_runner.results.words import joules, kind_in_words, seconds


def spread(value: float) -> Distribution:
    return Distribution(
        count=4, mean=value, median=value, p5=value, p95=value, p99=value, min=value, max=value, std=0.0
    )


def energy(**changes: object) -> Energy:
    known = {
        "sensor": "modelled",
        "kind": SensorKind.MODELLED,
        "method": Method.PHASE,
        "conserved": True,
        "total_joules": 30.0,
        "queries_joules": 24.0,
        "idle_joules": 6.0,
        "foreign_joules": None,
        "judge_joules": 0.0,
        "unattributed_joules": 0.0,
        "shared_joules": 0.0,
        "boundary_joules": 0.0,
        "prefill_joules": 4.0,
        "decode_joules": 20.0,
        "per_query": spread(6.0),
        "per_correct_joules": 12.0,
        "per_correct_all_in_joules": 15.0,
    }
    return Energy.model_validate({**known, **changes})


def summary(**changes: object) -> Summary:
    known = {
        "run": "01J",
        "name": "demo",
        "state": "completed",
        "task": ResolvedTask(name="everyday", revision="1", records=4, sha256="0"),
        "model": Model(name="SmolLM2", engine="LlamaCpp"),
        "stages": [],
        "counts": Counts(asked=4, answered=4, correct=2, incorrect=2, unscored=0, errors=0),
        "accuracy": Accuracy(value=0.5, low=0.15, high=0.85),
        "energy": energy(),
        "tokens": Tokens(prompt=100, cached_prompt=0, output=80, calls_without_usage=0),
        "latency": Latency(ttft_seconds=spread(0.05), tpot_seconds=None, e2e_seconds=spread(1.5)),
        "throughput": Throughput(queries_per_second=0.5, output_tokens_per_second=20.0),
        "efficiency": Efficiency(ipj=0.08, ipw=0.1, joules_per_output_token=0.3),
        "client": Client(limited=False, lag_p99_seconds=None),
    }
    return Summary.model_validate({**known, **changes})


def printed(document: Summary) -> str:
    stream = io.StringIO()
    print_summary(document, folder=Path("runs/x"), console=Console(file=stream, width=120))
    return stream.getvalue()


def test_the_table_says_what_a_correct_answer_cost() -> None:
    text = printed(summary())
    assert "SmolLM2 on everyday" in text
    assert "50.0%  (95 % interval 15.0% to 85.0%)" in text
    assert "12.0 J  (15.0 J with idle time and judge)" in text
    assert "30.0 J = 24.0 J questions, 6.00 J idle" in text
    assert "50.0 ms median" in text
    assert "runs/x" in text


def test_several_models_are_told_apart() -> None:
    tokens = Tokens(prompt=100, cached_prompt=0, output=1234, calls_without_usage=0)
    known = {"role": "submodel", "name": "small", "calls": 3, "tokens": tokens}
    models = [
        ModelUse.model_validate({**known, "alias": "model", "role": "model", "name": "big", "energy_joules": 18.0}),
        ModelUse.model_validate({**known, "alias": "helper", "energy_joules": 6.0}),
        ModelUse.model_validate(
            {**known, "alias": "far", "energy_joules": None, "tokens": tokens.model_copy(update={"output": None})}
        ),
    ]
    lines = [" ".join(line.strip("\u2502 ").split()) for line in printed(summary(models=models)).splitlines()]
    assert "model \u2502 18.0 J, 3 calls, 1,234 output tokens (big)" in lines
    assert "helper \u2502 6.00 J, 3 calls, 1,234 output tokens (small)" in lines
    assert "far \u2502 not known, 3 calls (small)" in lines
    assert "(big)" not in printed(summary(models=models[:1]))


def test_what_is_not_known_is_said_not_shown_as_zero() -> None:
    text = printed(summary())
    assert "not known" in next(line for line in text.splitlines() if "TPOT" in line)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (SensorKind.MEASURED, "measured by a hardware counter"),
        (SensorKind.MODELLED, "not measured"),
        (SensorKind.SIMULATED, "no hardware was involved"),
    ],
)
def test_the_kind_of_joules_is_said_in_words(kind: SensorKind, words: str) -> None:
    assert words in kind_in_words(energy(kind=kind))


def test_joules_that_do_not_add_up_are_called_so() -> None:
    assert "DO NOT add up" in kind_in_words(energy(conserved=False))


def test_a_run_without_joules_says_why() -> None:
    assert "another machine" in kind_in_words(energy(kind=None, problem="the server runs on another machine"))


def test_notes_are_shown_under_the_table() -> None:
    assert "note: the server reports no usage" in printed(summary(warnings=["the server reports no usage"]))


def test_a_copy_is_named_where_it_is_whole() -> None:
    assert "copy: s3://bench/run" in printed(summary(stored=Stored(url="s3://bench/run")))
    assert "copy:" not in printed(summary(stored=Stored(url="s3://bench/run", problem="away")))


def test_a_run_that_failed_before_its_task_was_loaded_names_the_model_alone() -> None:
    assert printed(summary(task=None)).splitlines()[0].strip() == "SmolLM2"


def test_no_correct_answer_has_no_price() -> None:
    counts = Counts(asked=4, answered=4, correct=0, incorrect=4, unscored=0, errors=0)
    assert "no answer was correct" in printed(summary(counts=counts))


def test_unscored_tasks_show_no_accuracy() -> None:
    assert "accuracy" not in printed(summary(accuracy=None))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00 mJ"),
        (0.00031, "0.31 mJ"),
        (0.31, "310 mJ"),
        (7.412, "7.41 J"),
        (74.12, "74.1 J"),
        (741.2, "741 J"),
        (1200, "1.20 kJ"),
        (2.5e6, "2.50 MJ"),
        (-3.0, "-3.00 J"),
    ],
)
def test_joules_have_three_digits_and_a_fitting_prefix(value: float, text: str) -> None:
    assert joules(value) == text


@pytest.mark.parametrize(("value", "text"), [(1.254, "1.25 s"), (0.0382, "38.2 ms"), (120.0, "120 s")])
def test_seconds_likewise(value: float, text: str) -> None:
    assert seconds(value) == text


def test_costs_are_shown_once_prices_are_given() -> None:
    assert "electricity" not in printed(summary())
    prices = Prices(currency="CHF", electricity_per_kwh=Decimal("0.27"), carbon_grams_per_kwh=Decimal(40))
    basis = CostBasis(
        energy_mj=36_000, energy_problem=None, accelerators=0, accelerator_ns=None, queries=4, correct=2, tokens={}
    )
    text = printed(summary(cost=cost(basis, prices)))
    assert "0.0000027 CHF  (0.000000675 per question, 0.00000135 per correct answer)" in text
    assert "0.0004 g CO2e" in text


def test_a_cost_that_is_not_known_says_why() -> None:
    basis = CostBasis(
        energy_mj=None, energy_problem="off", accelerators=0, accelerator_ns=None, queries=4, correct=2, tokens={}
    )
    text = printed(summary(cost=cost(basis, Prices(electricity_per_kwh=Decimal(1)))))
    assert "not known: the energy is not known: off" in text
