"""Opening a results folder: what is wrong with it is said at once."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from joulebench_runner.errors import BadInputError
from joulebench_runner.results.folder import open_run
from joulebench_runner.results.schema import META_SCHEMA_VERSION
from joulebench_runner.results.write import write

Run = Any  # the builder of conftest.py


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """The results of a run of one question, without its journal."""
    write(run.begin("q1").call("q1", 2, 6, chunks=(3, 6)).finish("q1", response="42").results(), tmp_path)
    return tmp_path


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_whole_folder_opens_and_gives_its_tables(folder: Path) -> None:
    opened = open_run(folder)
    assert opened.summary.counts.asked == 1
    assert opened.table("queries.parquet", columns=["query_id"]).to_pylist() == [{"query_id": "q1"}]
    assert [len(batch) for batch in opened.batches("turns.parquet", columns=["call_id"])] == [1]
    assert opened.problems == []


@pytest.mark.parametrize(("name", "words"), [("", "no results folder"), ("nowhere", "no folder")])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        open_run(tmp_path / name)
    assert "results folder" in str(caught.value.remedy)


def test_a_journal_without_a_summary_is_a_run_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(BadInputError, match="has not ended, or was killed"):
        open_run(tmp_path)


def test_a_newer_schema_is_refused_and_the_version_that_wrote_it_is_named(folder: Path) -> None:
    changed(folder / "summary.json", schema_version=99)
    changed(folder / "provenance.json", versions={"joulebench-runner": "7.1"})
    with pytest.raises(BadInputError, match="schema version 99") as caught:
        open_run(folder)
    assert "joulebench 7.1" in str(caught.value.remedy)


def test_a_table_of_a_newer_schema_is_refused(folder: Path) -> None:
    path = folder / "queries.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({META_SCHEMA_VERSION: b"99"}), path)
    with pytest.raises(BadInputError, match=r"queries\.parquet has schema version 99"):
        open_run(folder).table("queries.parquet")


def test_a_truncated_table_is_named(folder: Path) -> None:
    path = folder / "queries.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInputError, match=r"queries\.parquet cannot be read") as caught:
        open_run(folder).table("queries.parquet")
    assert "copy it anew" in str(caught.value.remedy)


def test_a_table_with_a_damaged_middle_is_named(folder: Path) -> None:
    path = folder / "energy.parquet"
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=r"energy\.parquet cannot be read"):
        open_run(folder).table("energy.parquet")


def test_a_summary_that_is_no_json_is_named(folder: Path) -> None:
    (folder / "summary.json").write_text("{")
    with pytest.raises(BadInputError, match=r"summary\.json cannot be read"):
        open_run(folder)


def test_a_summary_of_a_wrong_shape_names_the_field(folder: Path) -> None:
    changed(folder / "summary.json", counts=3)
    with pytest.raises(BadInputError, match="counts"):
        open_run(folder)


def test_what_is_missing_is_named_and_listed_when_the_rest_is_asked_for(folder: Path) -> None:
    (folder / "turns.parquet").unlink()
    (folder / "journal").mkdir()
    (folder / "journal" / "00000002.arrows").touch()
    with pytest.raises(BadInputError, match=r"lacks turns\.parquet, journal/00000001\.arrows") as caught:
        open_run(folder)
    assert "--partial" in str(caught.value.remedy)

    opened = open_run(folder, partial=True)

    assert opened.problems == ["turns.parquet is missing", "journal/00000001.arrows is missing"]
    assert not opened.has("turns.parquet")


def test_settings_and_journal_that_are_not_there_are_named(folder: Path) -> None:
    opened = open_run(folder)
    with pytest.raises(BadInputError, match=r"lacks settings/meter\.json"):
        _ = opened.meter_settings
    with pytest.raises(BadInputError, match="lacks journal/"):
        opened.journal()


def test_settings_say_where_the_folder_lies_now(folder: Path, settings: Any) -> None:
    (folder / "settings").mkdir()
    settings(run_dir=Path("/elsewhere")).write(folder / "settings" / "meter.json")
    assert open_run(folder).meter_settings.run_dir == folder
