"""Several models in one answer: the guide's own task and benchmark, with real processes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

COMMAND = Path(sys.executable).parent / "joulebench"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "submodels.md"
RUN_SECONDS = 120
QUESTIONS = 4


@dataclass(frozen=True)
class Run:
    """A finished run of the guide's benchmark."""

    summary: dict[str, Any]
    queries: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    truth: list[dict[str, Any]]
    table: str

    def energy_mj(self, query: str, role: str) -> int:
        """Of a question's calls to one model."""
        return sum(call["energy_mj"] for call in self.turns if (call["query_id"], call["role"]) == (query, role))


def block(language: str) -> str:
    """The guide's first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    (folder / "hinted.py").write_text(block("python"))
    (folder / "hinted.yaml").write_text(block("yaml"))
    at_once = ("--set", "spec.energy.idleBaseline=0s")
    return subprocess.run(
        [COMMAND, "run", folder / "hinted.yaml", "--out", folder / "hinted", *at_once, *words],
        capture_output=True, text=True, timeout=RUN_SECONDS, check=False, cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": "."},
    )  # fmt: skip


@pytest.fixture(scope="module")
def hinted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The guide's run, two questions at a time."""
    folder = tmp_path_factory.mktemp("hinted")
    done = call(folder, "--set", "spec.concurrency=2", "--tick", "0ms")
    assert done.returncode == 0, done.stderr
    results = folder / "hinted"
    return Run(
        summary=json.loads((results / "summary.json").read_text()),
        queries=pq.read_table(results / "queries.parquet").to_pylist(),
        turns=pq.read_table(results / "turns.parquet").to_pylist(),
        truth=[json.loads(line) for line in results.with_name("hinted.truth.jsonl").read_text().splitlines()],
        table=done.stdout,
    )


def test_each_question_asked_its_helper_and_then_the_model(hinted: Run) -> None:
    assert (hinted.summary["state"], len(hinted.queries)) == ("completed", QUESTIONS)
    for row in hinted.queries:
        mine = sorted(
            (one for one in hinted.turns if one["query_id"] == row["query_id"]), key=lambda one: one["started_at"]
        )
        assert [(one["alias"], one["role"], one["energy_bucket"]) for one in mine] == [
            ("helper", "submodel", "queries"),
            ("model", "model", "queries"),
        ]
        assert (row["turns"], row["calls"], row["error"]) == (2, 2, None)
        assert mine[0]["output_tokens"] <= 20


def test_the_helpers_joules_are_in_the_question_that_asked_it_and_all_add_up(hinted: Run) -> None:
    energy = hinted.summary["energy"]
    assert energy["conserved"] is True
    for row in hinted.queries:
        helper, model = (hinted.energy_mj(row["query_id"], role) for role in ("submodel", "model"))
        assert helper > 0
        assert model > 0
        assert row["energy_mj"] == helper + model
    assert sum(row["energy_mj"] for row in hinted.queries) == round(1000 * energy["queries_joules"])
    used = {one["alias"]: round(1000 * one["energy_joules"]) for one in hinted.summary["models"]}
    assert used == {
        "model": sum(hinted.energy_mj(row["query_id"], "model") for row in hinted.queries),
        "helper": sum(hinted.energy_mj(row["query_id"], "submodel") for row in hinted.queries),
    }
    # One server under two names is asked for its metrics once, and that is enough to know of foreign requests.
    assert energy["foreign_reason"] is None


def test_the_simulators_own_log_agrees_on_who_was_asked_what(hinted: Run) -> None:
    said = {one["call_id"]: one for one in hinted.truth}
    for one in hinted.turns:
        if one["query_id"] is not None:
            assert said[one["call_id"]]["query_id"] == one["query_id"]
            assert one["energy_mj"] == pytest.approx(said[one["call_id"]]["energy_mj"], rel=0.5)


def test_the_table_says_what_each_model_used(hinted: Run) -> None:
    lines = hinted.table.splitlines()
    for alias in ("model", "helper"):
        assert any(re.search(rf"  {alias} .* J, 4 calls, \d+ output tokens", line) for line in lines), hinted.table


def test_what_no_local_run_can_have_is_refused_by_its_field(tmp_path: Path) -> None:
    for wrong, says in wrongs():
        done = call(tmp_path, "--set", f"spec.submodels={wrong}")
        assert done.returncode == 2, done.stderr
        assert says in done.stderr


def wrongs() -> Iterator[tuple[str, str]]:
    external = "{external: {url: 'http://127.0.0.1:9/v1', model: m, apiKeySecretRef: {name: none}}}"
    yield "[{name: grader, server: {modelServerRef: {name: simulated}}}]", "spec.submodels[0].name"
    yield "[{name: helper, server: {modelServerRef: {name: other}}}]", "no ModelServer named 'other' in this file"
    yield (
        "[{name: helper, server: {template: {spec: {engine: Simulator, model: m}}}}]",
        "spec.submodels[0].server: a local",
    )
    yield f"[{{name: helper, server: {external}}}]", "NONE_API_KEY is not set"
