"""What lies in a results folder."""

import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from joulebench_runner.errors import BadInputError, RunnerError
from joulebench_runner.journal.clock import Clock
from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.journal.writer import Journal as Writer
from joulebench_runner.results import export, load_summary
from joulebench_runner.results.schema import DESCRIPTION, FILES, META_SCHEMA_VERSION
from joulebench_runner.results.write import write

REALTIME_NS = 1_790_000_000_000_000_000

Run = Any  # the builder of conftest.py


def full(run: Run) -> Run:
    """A run with something in every file."""
    run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1", response="zwölf")
    run.scrape(3, running=1.0, own=1, names=["a_total", "b"], labels=['k="v"', ""], values=[1.5, 2.5])
    times = {"start_ns": 4_000_000_000, "end_ns": 4_500_000_000}
    return run.add(Kind.ACTION, 5, action_id="a1", query_id="q1", attempt=0, name="calculator", kind="tool", **times)


def test_files_come_back_as_they_were_built(run: Run, tmp_path: Path) -> None:
    results = full(run).results()

    write(results, tmp_path)

    assert set(results.tables) == set(FILES)
    for name, schema in FILES.items():
        table = pq.read_table(tmp_path / name)
        assert table.equals(results.tables[name]), name
        assert table.schema.equals(schema), name
        assert (table.schema.metadata or {})[META_SCHEMA_VERSION] == b"1"
        assert all((field.metadata or {})[DESCRIPTION] for field in table.schema), name
    assert load_summary(tmp_path) == results.summary
    assert json.loads((tmp_path / "provenance.json").read_text()) == results.provenance
    assert not list(tmp_path.glob(".*"))


def test_ticks_metrics_and_actions_keep_their_values(run: Run) -> None:
    tables = full(run).results().tables

    ticks = tables["energy.parquet"].to_pylist()
    assert (ticks[0]["energy_mj"], ticks[0]["delta_mj"], ticks[0]["stage"]) == (0, None, None)
    assert (ticks[20]["energy_mj"], ticks[20]["delta_mj"], ticks[20]["stage"]) == (200_000, 10_000, "run")
    assert ticks[20]["mean_watts"] == pytest.approx(100.0)
    assert (ticks[20]["sequence"], ticks[20]["time_ns"], ticks[20]["kind"]) == (21, 2_000_000_000, "measured")
    samples = [(row["name"], row["labels"], row["value"]) for row in tables["server_metrics.parquet"].to_pylist()]
    assert samples == [("a_total", 'k="v"', 1.5), ("b", "", 2.5)]
    assert tables["actions.parquet"].to_pylist()[0]["seconds"] == 0.5


def test_without_actions_there_is_no_file_of_them(run: Run) -> None:
    assert "actions.parquet" not in run.results().tables


def test_writing_again_takes_the_place_of_the_old(run: Run, tmp_path: Path) -> None:
    write(run.results(outcome="interrupted"), tmp_path)
    write(full(run).results(), tmp_path)

    assert load_summary(tmp_path).state == "completed"


def test_a_folder_that_refuses_is_an_error_with_a_remedy(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="cannot write the results") as caught:
        write(run.results(), tmp_path / "missing")

    assert caught.value.remedy is not None


def test_a_folder_without_a_summary_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"no summary\.json"):
        load_summary(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(BadInputError, match="not a summary"):
        load_summary(tmp_path)


async def write_journal(run: Run, folder: Path) -> None:
    now = 0
    clock = Clock(monotonic_ns=lambda: now, realtime_ns=lambda: REALTIME_NS)
    writer = Writer(
        folder / "journal", run_id="run-1", run_name="a-run", instance_id="meter-1", clock=clock, boot="boot-1"
    )
    for kind, rows in run.rows.items():
        for row in rows:
            now = row.get("row_time_ns", row["time_ns"])
            writer.append(kind, **{name: value for name, value in row.items() if name in FIELDS[kind]})
    await writer.close()


async def test_export_goes_from_the_journals_files_to_the_results(run: Run, tmp_path: Path, settings: Any) -> None:
    await write_journal(run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1", response="zwölf"), tmp_path)

    summary = export(settings(run_dir=tmp_path), outcome="completed", message=None)

    assert summary.counts.asked == 1
    assert summary.energy.queries_joules == 400.0
    assert load_summary(tmp_path) == summary
    assert pq.read_table(tmp_path / "queries.parquet")["response"].to_pylist() == ["zwölf"]
    assert "zwölf" in (tmp_path / "report.html").read_text()
    assert summary.warnings == []


async def test_a_report_that_fails_costs_no_results_and_is_a_warning(run: Run, tmp_path: Path, settings: Any) -> None:
    await write_journal(run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1"), tmp_path)
    (tmp_path / "report.html").mkdir()  # so that no file can take its place

    summary = export(settings(run_dir=tmp_path), outcome="completed", message=None)

    assert summary.counts.asked == 1
    assert ["report.html could not be written" in warning for warning in summary.warnings] == [True]
    assert load_summary(tmp_path) == summary


def test_results_are_built_without_the_evaluation_libraries() -> None:
    code = (
        "import sys, joulebench_runner.results.build, joulebench_runner.results.write\n"
        "print(sorted({'inspect_ai', 'openai', 'datasets', 'grpc'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


def test_the_reference_page_describes_every_column() -> None:
    path = Path(__file__).parents[3] / "tools" / "generate_results_reference.py"
    spec = importlib.util.spec_from_file_location("generate_results_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    page = module.render()

    for name, schema in FILES.items():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for field in schema:
            description = (field.metadata or {})[DESCRIPTION].decode().replace("|", "\\|")
            assert f"| `{field.name}` | {field.type} |" in section
            assert description in section
    assert "| `conserved` | boolean |" in page
    assert "a 95 % Wilson interval" in page


@pytest.mark.parametrize("fits", range(6))
def test_a_disk_that_fills_up_leaves_no_half_file_and_the_next_try_succeeds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: int
) -> None:
    earlier, results = run.results(), full(run).results()
    write(earlier, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    room = fits

    def fsync(_descriptor: int) -> None:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= 1

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(RunnerError, match="No space left") as caught:
            write(results, tmp_path)
    assert "the journal is kept" in (caught.value.remedy or "")
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "summary.json").read_bytes() == before["summary.json"]
    for path in tmp_path.glob("*.parquet"):
        assert pq.read_table(path).schema.equals(FILES[path.name])
    write(results, tmp_path)
    assert load_summary(tmp_path) == results.summary
