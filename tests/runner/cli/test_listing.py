"""`joulebench list`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joulebench_runner.cli.listing import listing


def listed(*arguments: str) -> Any:
    done = CliRunner().invoke(listing, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_tasks_tell_where_their_questions_come_from(tmp_path: Path) -> None:
    tasks = {row["name"]: row for row in listed("tasks", "--data", str(tmp_path))}
    assert tasks["everyday"]["source"] == "made here"
    gsm8k = tasks["gsm8k"]
    assert (gsm8k["source"], gsm8k["licence"], gsm8k["questions"]) == ("hub:openai/gsm8k", "MIT", 1319)
    assert len(gsm8k["revision"]) == 40


def test_a_task_is_local_once_its_file_is_there(tmp_path: Path) -> None:
    def is_local() -> bool:
        (found,) = (row["local"] for row in listed("tasks", "--data", str(tmp_path)) if row["name"] == "gsm8k")
        return bool(found)

    assert not is_local()
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text("")
    assert is_local()


def test_engines_and_presets_are_those_of_the_registries() -> None:
    assert {row["name"] for row in listed("engines") if row["startable"]} >= {"LlamaCpp"}
    assert {row["name"] for row in listed("presets")} >= {"smollm2-135m-instruct"}


def test_sensors_are_what_an_exporter_finds_here() -> None:
    (first, *_) = listed("sensors")
    assert first["kind"] in {"measured", "modelled"}
    assert first["more"]


def test_a_table_says_how_to_get_what_is_not_here(tmp_path: Path) -> None:
    done = CliRunner().invoke(listing, ["tasks", "--data", str(tmp_path)])
    assert f"joulebench fetch gsm8k --to {tmp_path}" in done.stdout


@pytest.mark.parametrize("what", ["task", "models"])
def test_an_unknown_list_is_refused(what: str) -> None:
    assert CliRunner().invoke(listing, [what]).exit_code == 2
