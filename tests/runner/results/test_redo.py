"""Results made anew: beside the old ones, from the journal alone, and nothing is asked again."""

import json
import socket
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pytest
from tests.runner.results.recorded import files, provenance, record

from joulebench_api.contracts.energy import Method
from joulebench_api.contracts.summary import Prices, Summary
from joulebench_runner.errors import BadInputError, JournalError, RunnerError
from joulebench_runner.journal.schema import META_SCHEMA_VERSION
from joulebench_runner.results.changes import at_prices, by_method, method_named
from joulebench_runner.results.folder import RunFolder, open_run
from joulebench_runner.results.redo import redo


@pytest.fixture
def recorded(run: Any, settings: Any, tmp_path: Path) -> RunFolder:
    """Two questions at once, of which Phase gives the second more."""
    run.begin("q1").call("q1", 2, 6, chunks=(5, 6)).finish("q1", 7, response="#### 42")
    run.begin("q2").call("q2", 2, 6, chunks=(3, 6), output_tokens=90).finish("q2", 7, response="#### 7", correct=False)
    return record(run.rows, settings(run_dir=tmp_path / "run"), segments=3)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("something was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def joules(folder: Path) -> dict[str, float]:
    return {
        row["query_id"]: row["energy_joules"]
        for row in open_run(folder).table("queries.parquet", columns=["query_id", "energy_joules"]).to_pylist()
    }


def test_the_same_method_gives_the_same_figures(recorded: RunFolder) -> None:
    again = redo(recorded, by_method(Method.PHASE))
    assert again.summary == recorded.summary
    assert joules(again.folder) == joules(recorded.path)


def test_another_method_splits_the_same_joules_otherwise(recorded: RunFolder) -> None:
    again = redo(recorded, by_method(Method.EQUAL))
    assert joules(again.folder)["q1"] == joules(again.folder)["q2"]
    assert joules(recorded.path)["q1"] != joules(recorded.path)["q2"]
    assert again.summary.energy.total_joules == recorded.summary.energy.total_joules
    assert again.summary.energy.conserved


def test_the_runs_own_files_stay_as_they_are(recorded: RunFolder) -> None:
    before = files(recorded.path)
    redo(recorded, by_method(Method.EQUAL))
    redo(recorded, at_prices(Prices(pue=Decimal(2))))
    assert files(recorded.path) == before


def test_each_has_a_folder_of_its_own_with_the_same_files(recorded: RunFolder) -> None:
    made = [redo(recorded, by_method(method)).folder for method in (Method.EQUAL, Method.PHASE)]
    assert [folder.name for folder in made] == ["1-equal", "2-phase"]
    results = {path.name for path in recorded.path.iterdir() if path.is_file()}
    assert {path.name for path in made[0].iterdir()} == results


def test_provenance_says_what_was_redone_from_what_with_what_when_and_by_whom(recorded: RunFolder) -> None:
    told = provenance(redo(recorded, by_method(Method.EQUAL)).folder)
    assert (told["what"], told["with"]) == ("attribution", {"method": "Equal"})
    assert told["from"]["run"] == recorded.summary.run
    assert told["from"]["method"] == "Phase"
    assert len(told["from"]["summary_sha256"]) == 64
    assert told["by"].startswith("joulebench-runner ")
    assert told["at"].endswith("Z")


def test_what_only_the_run_knew_is_kept(recorded: RunFolder) -> None:
    path = recorded.path / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_files": {"model": {"sha256": "ab"}}}))
    again = redo(open_run(recorded.path), by_method(Method.EQUAL))
    assert again.provenance["model_files"] == {"model": {"sha256": "ab"}}


def test_other_prices_change_the_costs_alone(recorded: RunFolder) -> None:
    again = redo(recorded, at_prices(Prices(currency="EUR", electricity_per_kwh=Decimal("0.36"))))
    assert again.summary.cost.electricity.total == Decimal("0.0001")
    assert again.summary.model_copy(update={"cost": recorded.summary.cost}) == recorded.summary


def test_a_summary_on_disk_is_the_one_that_is_returned(recorded: RunFolder) -> None:
    again = redo(recorded, by_method(Method.EQUAL))
    assert Summary.model_validate_json((again.folder / "summary.json").read_text()) == again.summary


def test_another_folder_can_be_named_but_not_one_that_is_used(recorded: RunFolder, tmp_path: Path) -> None:
    assert redo(recorded, by_method(Method.EQUAL), out=tmp_path / "new").folder == tmp_path / "new"
    with pytest.raises(BadInputError, match="is not empty"):
        redo(recorded, by_method(Method.EQUAL), out=tmp_path / "new")
    assert not (recorded.path / "redone").exists()


def test_a_failed_attempt_leaves_nothing(recorded: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("joulebench_runner.results.redo.write", full)
    with pytest.raises(RunnerError, match="No space left on device"):
        redo(recorded, by_method(Method.EQUAL))
    assert list((recorded.path / "redone").iterdir()) == []


def test_what_was_redone_has_no_journal_to_be_redone_from(recorded: RunFolder) -> None:
    again = redo(recorded, by_method(Method.EQUAL))
    with pytest.raises(BadInputError, match="was itself made anew"):
        redo(open_run(again.folder), by_method(Method.EQUAL))


def test_missing_segments_are_named_and_the_rest_is_used_when_asked(recorded: RunFolder) -> None:
    (recorded.path / "journal" / "00000002.arrows").unlink()
    with pytest.raises(BadInputError, match=r"journal/00000002\.arrows"):
        open_run(recorded.path)
    again = redo(open_run(recorded.path, partial=True), by_method(Method.EQUAL))
    assert any("00000002" in warning for warning in again.summary.warnings)
    assert provenance(again.folder)["from"]["missing"] == ["journal/00000002.arrows is missing"]


def test_a_truncated_table_does_not_matter_since_it_is_made_anew(recorded: RunFolder) -> None:
    (recorded.path / "queries.parquet").write_bytes(b"PAR1")
    assert joules(redo(recorded, by_method(Method.PHASE)).folder)["q1"] > 0


def test_a_newer_journal_names_the_version_that_reads_it(recorded: RunFolder) -> None:
    path = recorded.path / "journal" / "00000001.arrows"
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        rows = stream.read_all()
    newer = rows.replace_schema_metadata({**(rows.schema.metadata or {}), META_SCHEMA_VERSION.encode(): b"9"})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, newer.schema) as writer:
        writer.write_table(newer)
    with pytest.raises(JournalError, match="schema version 9") as caught:
        redo(recorded, by_method(Method.EQUAL))
    assert "schema version 9" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("name", "words", "remedy"),
    [("Fase", "no such method", "'Phase'"), ("xyz", "no such method", "Equal"), ("Token", "not available", "Phase")],
)
def test_an_unknown_method_is_refused_with_the_nearest(name: str, words: str, remedy: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        method_named(name)
    assert remedy in str(caught.value.remedy)


def test_a_method_is_known_in_lower_case_too() -> None:
    assert method_named("equal") is Method.EQUAL
