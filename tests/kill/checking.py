"""What must hold of a run after any number of accidents: by its results, its journal, and the server's own log."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from joulebench_runner.attribution.ticks import TickFlag
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

Rows = list[dict[str, Any]]


def check_everything_once(folder: Path, *, questions: int, starts: int) -> None:
    """Nothing was lost, nothing asked again that was finished, and every joule is accounted for."""
    summary = json.loads((folder / "summary.json").read_text())
    rows: Rows = pq.read_table(folder / "queries.parquet").to_pylist()
    _check_results(summary, rows, questions=questions)
    journal = read(folder / "journal")
    finishes: Rows = journal.table(Kind.QUERY_FINISH).to_pylist()
    assert Counter(row["query_id"] for row in finishes) == Counter(row["query_id"] for row in rows)
    _check_server_log(_server_log(folder), finishes=finishes, rows=rows)
    _check_energy(summary["energy"], rows)
    _check_ticks(pq.read_table(folder / "energy.parquet").to_pylist(), starts=starts)


def _check_results(summary: dict[str, Any], rows: Rows, *, questions: int) -> None:
    assert summary["state"] == "completed"
    assert (summary["counts"]["asked"], summary["counts"]["answered"]) == (questions, questions)
    assert [row["error"] for row in rows if row["error"]] == []
    asked = Counter((row["record_id"], row["epoch"]) for row in rows)
    assert len(asked) == questions
    assert set(asked.values()) == {1}


def _server_log(folder: Path) -> Rows:
    """All requests of questions that the server has ended; it appends to one file over all its starts."""
    lines = folder.with_name(f"{folder.name}.truth.jsonl").read_bytes().splitlines()
    return [line for line in map(json.loads, lines) if line["query_id"] is not None]


def _check_server_log(log: Rows, *, finishes: Rows, rows: Rows) -> None:
    """The journal's and the server's times are of one clock: CLOCK_MONOTONIC of this machine."""
    finished_ns = {row["query_id"]: row["time_ns"] for row in finishes}
    again = [line for line in log if line["arrived_ns"] > finished_ns[line["query_id"]]]
    assert again == [], "asked again after the finish was acknowledged"
    completed = Counter((line["query_id"], line["attempt"]) for line in log if line["outcome"] == "completed")
    assert max(completed.values()) == 1
    tokens = {(line["query_id"], line["attempt"]): line["output_tokens"] for line in log}
    for row in rows:
        # The answer that counts is one that the server knows of.
        assert completed[row["query_id"], row["attempt"]] == 1
        assert tokens[row["query_id"], row["attempt"]] == row["output_tokens"]


def _check_energy(energy: dict[str, Any], rows: Rows) -> None:
    assert energy["problem"] is None
    assert energy["conserved"] is True
    buckets = ("queries", "idle", "judge", "foreign", "unattributed", "shared", "boundary")
    parts_mj = {name: round((energy[f"{name}_joules"] or 0.0) * 1000) for name in buckets}
    assert round(energy["total_joules"] * 1000) == sum(parts_mj.values())
    assert parts_mj["queries"] == sum(row["energy_mj"] or 0 for row in rows)
    assert parts_mj["unattributed"] == sum(round(joules * 1000) for joules in energy["unattributed"].values())
    assert energy["unattributed"]["abandoned"] > 0
    # The same device at every start.
    assert len(energy["devices"]) == 1
    assert "counter_reset" not in energy["unattributed"]


def _check_ticks(ticks: Rows, *, starts: int) -> None:
    """An exporter that was away left one long tick, flagged; the counter itself begins anew with each start only."""
    assert any(tick["flags"] & TickFlag.GAP for tick in ticks)
    assert sum(bool(tick["flags"] & TickFlag.RESET) for tick in ticks) < starts
