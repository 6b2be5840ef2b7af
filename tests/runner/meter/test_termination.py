"""What is told of a run in its termination message."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from joulebench_api.contracts.energy import Method, SensorKind
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.summary import (
    Accuracy,
    Client,
    Counts,
    Distribution,
    Efficiency,
    Energy,
    Latency,
    Model,
    Stored,
    Summary,
    Throughput,
    Tokens,
)
from joulebench_runner.config import EnergySettings
from joulebench_runner.errors import RunnerError
from joulebench_runner.meter.termination import failure, figures, message_of, write


def spread(mean: float) -> Distribution:
    return Distribution(
        count=3, mean=mean, median=mean / 2, p5=0, p95=mean, p99=mean * 2, min=0, max=mean * 2, std=None
    )


def energy_of(total: float | None, *, coverage: float | None = 100.0) -> Energy:
    parts = ("queries", "idle", "foreign", "judge", "unattributed", "shared", "boundary", "prefill", "decode")
    return Energy(
        sensor="nvml",
        kind=None if total is None else SensorKind.MEASURED,
        method=Method.PHASE,
        conserved=total is not None,
        total_joules=total,
        coverage_percent=coverage,
        per_query=None if total is None else spread(1 / 3),
        per_correct_joules=None if total is None else 1234.5678901,
        per_correct_all_in_joules=None,
        **{f"{name}_joules": None if total is None else 0.0 for name in parts},
    )


def summary(**more: Any) -> Summary:
    fields: dict[str, Any] = {
        "run": "run-1",
        "name": "a-run",
        "state": "completed",
        "task": ResolvedTask(name="everyday", revision="r", records=3, sha256="0" * 64, parameters={"level": 1}),
        "model": Model(name="m", engine=None),
        "stages": [],
        "counts": Counts(asked=3, answered=3, correct=2, incorrect=1, unscored=0, errors=0),
        "accuracy": Accuracy(value=2 / 3, low=0.2, high=0.9),
        "energy": energy_of(1000.0625),
        "tokens": Tokens(prompt=1, cached_prompt=None, output=2, calls_without_usage=0),
        "latency": Latency(ttft_seconds=spread(0.00001), tpot_seconds=None, e2e_seconds=None),
        "throughput": Throughput(queries_per_second=1.0, output_tokens_per_second=12.5),
        "efficiency": Efficiency(ipj=None, ipw=None, joules_per_output_token=0.25),
        "client": Client(limited=False, lag_p99_seconds=None),
    }
    return Summary(**(fields | more))


def test_figures_are_text_without_exponents_and_absent_where_not_known() -> None:
    found = figures(summary())
    assert (found.accuracy, found.joules_total, found.joules_per_correct) == ("0.666667", "1000.062", "1234.57")
    assert (found.ttft_p50_seconds, found.ttft_p99_seconds) == ("0.000005", "0.00002")
    assert (found.tpot_p50_seconds, found.cost_per_correct, found.client_limited) == (None, None, None)
    assert found.energy_kind is not None
    assert (found.energy_kind.value, found.conserved) == ("Measured", True)


def test_without_energy_nothing_is_said_to_be_conserved() -> None:
    found = figures(summary(energy=energy_of(None)))
    assert (found.joules_total, found.energy_kind, found.conserved) == (None, None, None)


@pytest.mark.parametrize(("coverage", "incomplete"), [(100.0, False), (98.0, True)])
def test_required_energy_that_is_lacking_is_told(tmp_path: Path, coverage: float, incomplete: bool) -> None:
    (tmp_path / "summary.json").write_text("{}")
    made = message_of(
        summary(energy=energy_of(1.0, coverage=coverage)), energy=EnergySettings(policy="Required"), folder=tmp_path
    )
    assert made.energy_incomplete is incomplete


def test_results_are_named_with_their_hash_unless_the_store_lacks_them(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    made = message_of(summary(stored=Stored(url="s3://b/run")), energy=EnergySettings(), folder=tmp_path)
    assert made.results is not None
    assert (made.results.url, made.results.bytes) == ("s3://b/run/summary.json", 2)
    assert made.results.sha256 == hashlib.sha256(b"{}").hexdigest()
    lost = message_of(
        summary(stored=Stored(url="s3://b/run", problem="cannot write")), energy=EnergySettings(), folder=tmp_path
    )
    assert (lost.results, lost.message) == (None, "cannot write")


def test_it_is_written_in_place_and_fits_whatever_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    path.touch()
    before = path.stat().st_ino
    write(failure(RunnerError("x" * 10_000, remedy="y" * 10_000), state="failed"), path)
    assert path.stat().st_ino == before
    assert path.stat().st_size < 4096
    assert json.loads(path.read_text())["state"] == "failed"
