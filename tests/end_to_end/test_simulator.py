"""Whole runs with the simulator, which answers the same to the same question and knows what each truly cost."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

COMMAND = Path(sys.executable).parent / "joulebench"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gsm8k-simulator.yaml"
ENGINE = "spec.server.template.spec.engineArgs"
QUESTIONS = 64
FEW = 24
RUN_SECONDS = 120


@dataclass(frozen=True)
class Run:
    """A finished run."""

    summary: dict[str, Any]
    queries: list[dict[str, Any]]
    truth: list[dict[str, Any]]
    table: str

    def said(self) -> dict[str, tuple[str, float]]:
        """Answer and score of each question."""
        return {row["record_id"]: (row["response"], row["score"]) for row in self.queries}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up problems in the shape of GSM8K's files."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "gsm8k").mkdir()
    rows = [
        {
            "question": f"Ann has {at} boxes. {'She counts them twice. ' * (at % 7)}How many are twice as many?",
            "answer": f"2 x {at} = {2 * at}\n#### {2 * at}",
        }
        for at in range(QUESTIONS)
    ]
    (folder / "gsm8k" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def simulate(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Run the example with some fields changed."""

    def run(*words: str, **fields: object) -> Run:
        folder = tmp_path_factory.mktemp("runs") / "run"
        changes = {"spec.task.limit": QUESTIONS, "spec.energy.idleBaseline": "0s", "spec.warmup.queries": 1, **fields}
        overrides = [word for field, value in changes.items() for word in ("--set", f"{field}={value}")]
        done = subprocess.run(
            [COMMAND, "run", EXAMPLE, "--data", data, "--out", folder, *overrides, *words],
            capture_output=True, text=True, timeout=RUN_SECONDS, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        truth = folder.with_name("run.truth.jsonl").read_text().splitlines()
        return Run(
            summary=json.loads((folder / "summary.json").read_text()),
            queries=pq.read_table(folder / "queries.parquet").to_pylist(),
            truth=[json.loads(line) for line in truth],
            table=done.stdout,
        )

    return run


@pytest.fixture(scope="module")
def busy(simulate: Callable[..., Run]) -> Run:
    """Sixteen in flight, on a counter like a real one."""
    return simulate("--tick", "20ms", "--delay", "10ms", "--jitter", "2ms", **{"spec.concurrency": 16})


def test_every_answer_has_its_simulated_joules_and_they_add_up(busy: Run) -> None:
    energy = busy.summary["energy"]
    assert (energy["kind"], energy["conserved"]) == ("simulated", True)
    assert "no hardware was involved" in busy.table
    (device,) = energy["devices"]
    assert (device["name"], device["domain"]) == ("Simulated GPU", "GPU")
    assert busy.summary["counts"]["asked"] == QUESTIONS
    assert all(row["energy_mj"] > 0 for row in busy.queries)
    assert 0.5 < busy.summary["accuracy"]["value"] < 0.9


def test_what_the_device_showed_stands_in_the_summary_and_beside_each_question(busy: Run) -> None:
    (gpu,) = busy.summary["gpus"]
    assert gpu["looks"] >= 1
    assert 0 < gpu["power_watts"]["min"] <= gpu["power_watts"]["mean"] <= gpu["power_watts"]["max"]
    assert gpu["utilisation_percent"]["max"] == 100
    assert (gpu["throttling_seconds"], gpu["suspect_readings"]) == (0, {})
    assert all(row["device_mean_watts"] <= row["device_max_watts"] for row in busy.queries)


def test_the_servers_log_names_each_question_once(busy: Run) -> None:
    completed = Counter(line["query_id"] for line in busy.truth if line["query_id"] and line["outcome"] == "completed")
    assert completed == Counter(row["query_id"] for row in busy.queries)


def test_attributed_joules_rank_as_the_true_ones_at_sixteen_in_flight(busy: Run) -> None:
    true_mj: dict[str, float] = defaultdict(float)
    for line in busy.truth:
        if line["query_id"] is not None:
            true_mj[line["query_id"]] += line["energy_mj"]
    attributed = np.array([row["energy_mj"] for row in busy.queries], dtype=float)
    true = np.array([true_mj[row["query_id"]] for row in busy.queries])
    assert _spearman(attributed, true) >= 0.9
    assert attributed.sum() == pytest.approx(true.sum(), rel=0.1)


def test_a_server_that_refuses_for_a_while_answers_all_in_the_end(simulate: Callable[..., Run]) -> None:
    refused = 12
    run = simulate(
        **{
            # The first request asks whether the server is ready.
            f"{ENGINE}.fault": f"status,code=429,retry-after=0,requests=2-{1 + refused}",
            f"{ENGINE}.speed": 20,
            "spec.task.limit": FEW,
            "spec.warmup.queries": 0,
            "spec.concurrency": 8,
        }
    )
    counts = run.summary["counts"]
    assert (counts["asked"], counts["answered"], counts["errors"]) == (FEW, FEW, 0)
    assert sum(row["calls"] for row in run.queries) == FEW + refused
    assert {row["turns"] for row in run.queries} == {1}
    assert run.summary["energy"]["conserved"] is True


def _spearman(one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]") -> float:
    """Rank correlation; equal values are rare enough here to be ranked as they stand."""
    first, second = (values.argsort().argsort() for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def test_one_at_a_time_gives_the_same_answers_and_another_seed_others(busy: Run, simulate: Callable[..., Run]) -> None:
    quick: dict[str, object] = {f"{ENGINE}.speed": 20, "spec.task.limit": FEW, "spec.warmup.queries": 0}
    one_at_a_time: dict[str, object] = {**quick, "spec.concurrency": 1}
    other_seed: dict[str, object] = {**quick, "spec.concurrency": 8, f"{ENGINE}.seed": 8}
    with ThreadPoolExecutor() as pool:
        alone, other = (run.said() for run in pool.map(lambda fields: simulate(**fields), (one_at_a_time, other_seed)))
    before = {record: busy.said()[record] for record in alone}
    assert len(alone) == FEW
    assert alone == before
    assert set(other) == set(before)
    assert sum(other[record][0] != said for record, (said, _) in before.items()) > FEW // 2
