"""`joulebench reattribute`, `rescore` and `reprice` as commands."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.runner.results.recorded import record

from joulebench_api.contracts.energy import Domain
from joulebench_runner.cli import redo
from joulebench_runner.config import EnergySettings, MeterSettings, Upstream
from joulebench_runner.errors import BadInputError
from joulebench_runner.journal.schema import Kind

SECOND = 10**9


def row(at: int, **values: Any) -> dict[str, Any]:
    return {"time_ns": at * SECOND, **values}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of one question, without a sensor."""
    rows: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in Kind}
    task = {"name": "gsm8k", "revision": "r", "records": 1, "sha256": "0"}
    rows[Kind.PLAN].append(row(0, json=json.dumps({"task": task}), query_ids=["q1"]))
    rows[Kind.STAGE] += [row(1, stage="run", event="start"), row(9, stage="run", event="end")]
    begin = {"query_id": "q1", "attempt": 0, "task": "gsm8k", "record_id": "r1", "epoch": 1, "reference": "42"}
    rows[Kind.QUERY_BEGIN].append(row(2, **begin, messages="[]"))
    rows[Kind.QUERY_FINISH].append(row(5, query_id="q1", attempt=0, response="#### 42", correct=False, score=0.0))
    call = {"call_id": "c1", "alias": "model", "role": "model", "query_id": "q1", "attempt": 0, "status": 200}
    times = {"intended_ns": 2 * SECOND, "send_ns": 2 * SECOND, "end_ns": 4 * SECOND}
    rows[Kind.CALL].append(row(4, **call, **times, prompt_tokens=1000, output_tokens=500, content_chunk_ns=[]))
    settings = MeterSettings(
        run_id="run-1",
        run_name="a-run",
        run_dir=tmp_path / "run",
        control_socket=Path("control.sock"),
        ready_file=Path("ready.json"),
        upstreams=[Upstream(alias="model", role="model", model="tiny", base_urls=["http://s/v1"])],
        energy=EnergySettings(domains=[Domain.CPU]),
    )
    return record(rows, settings).path


def invoke(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_rescoring_prints_the_table_and_what_changed(folder: Path) -> None:
    done = invoke(redo.rescore, str(folder))
    assert "accuracy 0.0% -> 100.0%" in done.stdout
    assert "1-scored-by-gsm8k" in done.stdout


def test_json_holds_the_summary_where_it_lies_and_what_was_redone(folder: Path) -> None:
    document = json.loads(invoke(redo.reattribute, str(folder), "--method", "equal", "--json").stdout)
    assert document["summary"]["energy"]["method"] == "Equal"
    assert document["redone"]["what"] == "attribution"
    assert (Path(document["folder"]) / "summary.json").is_file()


def test_other_prices_are_laid_over_those_of_the_run(folder: Path) -> None:
    prices = ("--cost", "tokenPrices.inputPerMillion=1", "--cost", "tokenPrices.outputPerMillion=4")
    cost = json.loads(invoke(redo.reprice, str(folder), *prices, "--json").stdout)["summary"]["cost"]
    assert cost["tokens"]["total"] == "0.003"
    assert (cost["paid"]["total"], cost["paid_for"]) == ("0.003", ["tokens"])
    assert "the energy is not known" in cost["electricity"]["problem"] or "not given" in cost["electricity"]["problem"]


def test_repricing_needs_a_price(folder: Path) -> None:
    done = invoke(redo.reprice, str(folder))
    assert done.exit_code == 2
    assert "--cost" in done.stderr


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no results folder"):
        invoke(redo.rescore, str(tmp_path))


@pytest.mark.parametrize("command", [redo.reattribute, redo.rescore, redo.reprice])
def test_help_teaches_by_examples_and_says_where_the_files_go(command: Any) -> None:
    shown = invoke(command, "--help").stdout
    assert "joulebench re" in shown
    assert "DIR/redone/" in shown
