"""Which run a folder holds, whether it may go on, and where a new attempt goes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joulebench_api.defaults import resolve
from joulebench_api.loading import Loaded, load
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.attempts import Attempt, choose
from joulebench_runner.local.plan import LocalOptions
from joulebench_runner.local.planning import identify
from joulebench_runner.local.run_file import RunFile, find_run
from joulebench_runner.local.sameness import differences, refuse_changes, sameness

MODEL = {"modelServerRef": {"name": "tiny"}}


def loaded(*overrides: str, threads: int = 2) -> Loaded:
    server = {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "ModelServer",
        "metadata": {"name": "tiny"},
        "spec": {"engine": "LlamaCpp", "model": "/m.gguf", "engineArgs": {"threads": threads}},
    }
    run = {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": "r"},
        "spec": {"server": MODEL, "task": {"name": "everyday", "limit": 3}},
    }
    return load(f"{json.dumps(server)}\n---\n{json.dumps(run)}", source="bench.yaml", overrides=overrides)


def same(file: Loaded, **options: Any) -> dict[str, Any]:
    return sameness(resolve(file.run), file, options=LocalOptions(**options))


def changed(*overrides: str) -> list[str]:
    return [difference.field for difference in differences(same(loaded()), same(loaded(*overrides)))]


@pytest.mark.parametrize(
    "override",
    [
        "spec.maxErrors=5",
        "spec.timeouts.run=2h",
        "spec.timeouts.serverReady=2h",
        "spec.results.exports=[CSV]",
        "spec.ttlAfterFinished=1h",
        "spec.rerunToken=b",
        "spec.retryLimit=1",
    ],
)
def test_what_changes_neither_questions_nor_answers_nor_measurement_may_differ(override: str) -> None:
    assert changed(override) == []


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("spec.task.limit=4", "spec.task.limit"),
        ("spec.concurrency=4", "spec.concurrency"),
        ("spec.seed=7", "spec.seed"),
        ("spec.epochs=2", "spec.epochs"),
        ("spec.generation.temperature=0.5", "spec.generation.temperature"),
        ("spec.timeouts.query=10s", "spec.timeouts.query"),
        ("spec.energy.attribution=Equal", "spec.energy.attribution"),
        ("spec.energy.idleBaseline=5s", "spec.energy.idleBaseline"),
        ("spec.warmup.queries=0", "spec.warmup.queries"),
    ],
)
def test_all_else_must_be_the_same(override: str, field: str) -> None:
    assert changed(override) == [field]


def test_saying_what_counts_anyway_changes_nothing() -> None:
    assert changed("spec.concurrency=1", "spec.energy.idleBaseline=30s") == []


def test_the_model_server_of_the_file_counts_too() -> None:
    found = differences(same(loaded()), same(loaded(threads=8)))
    assert [str(difference) for difference in found] == ["ModelServer.tiny.engineArgs.threads: was 2, is 8"]


def test_options_that_change_the_measurement_count_and_others_do_not(tmp_path: Path) -> None:
    before = same(loaded(), sensor="modelled", data=tmp_path, meter_port=8780)
    assert differences(before, same(loaded(), sensor="modelled")) == []
    found = differences(before, same(loaded(), sensor="modelled", idle_watts=5.0))
    assert [str(difference) for difference in found] == ["--idle-watts: was not set, is 5.0"]


def test_a_refusal_names_each_field_with_both_values_and_the_way_out() -> None:
    with pytest.raises(BadInputError) as refused:
        refuse_changes("runs/a", same(loaded()), same(loaded("spec.task.limit=4", "spec.seed=1")))
    assert refused.value.message.splitlines() == [
        "runs/a holds a run of another benchmark:",
        "  spec.seed: was 42, is 1",
        "  spec.task.limit: was 3, is 4",
    ]
    assert "--out" in (refused.value.remedy or "")


@pytest.fixture
def hold(tmp_path: Path) -> Callable[..., RunFile]:
    """Make a folder look as a run leaves it."""

    def make(folder: Path = tmp_path, *, run_id: str = "run-1", token: str | None = None) -> RunFile:
        (folder / "settings").mkdir(parents=True)
        (folder / "journal").mkdir()
        made = RunFile(run_id=run_id, rerun_token=token, same=same(loaded()))
        made.write(folder / "settings" / "run.json")
        return made

    return make


def test_an_empty_or_absent_folder_holds_no_run(tmp_path: Path) -> None:
    assert find_run(tmp_path) is None
    assert find_run(tmp_path / "absent") is None


def test_a_run_that_journalled_nothing_is_none(tmp_path: Path, hold: Callable[..., RunFile]) -> None:
    hold()
    (tmp_path / "journal").rmdir()
    assert find_run(tmp_path) is None


@pytest.mark.parametrize(("left", "missing"), [("summary.json", "journal"), ("journal", "settings/run.json")])
def test_a_run_without_its_journal_or_identity_is_refused(tmp_path: Path, left: str, missing: str) -> None:
    (tmp_path / left).mkdir()
    with pytest.raises(BadInputError, match=f"cannot be gone on with: it has no {missing}"):
        find_run(tmp_path)


def test_a_run_file_that_cannot_be_read_is_refused(tmp_path: Path, hold: Callable[..., RunFile]) -> None:
    hold()
    (tmp_path / "settings" / "run.json").write_text("{")
    with pytest.raises(BadInputError, match="cannot be read"):
        find_run(tmp_path)


def test_the_same_token_or_none_goes_on_and_a_new_one_starts_beside(
    tmp_path: Path, hold: Callable[..., RunFile]
) -> None:
    first = hold()
    assert choose(tmp_path, token=None) == Attempt(1, tmp_path, first, first)
    assert choose(tmp_path, token="a") == Attempt(2, tmp_path / "attempts" / "2", None, first)
    second = hold(tmp_path / "attempts" / "2", run_id="run-2", token="a")
    assert choose(tmp_path, token="a") == Attempt(2, tmp_path / "attempts" / "2", second, first)
    assert choose(tmp_path, token=None).number == 2
    assert choose(tmp_path, token="b").number == 3


def test_a_run_that_goes_on_keeps_its_id_and_counts_its_starts(tmp_path: Path, hold: Callable[..., RunFile]) -> None:
    held = hold()
    found = identify(loaded(), attempt=choose(tmp_path, token=None), options=LocalOptions())
    assert (found.run_id, len(found.starts)) == (held.run_id, 1)


def test_a_new_attempt_is_a_new_run_of_the_same_benchmark(tmp_path: Path, hold: Callable[..., RunFile]) -> None:
    held = hold()
    attempt = choose(tmp_path, token="b")
    found = identify(loaded("spec.rerunToken=b"), attempt=attempt, options=LocalOptions())
    assert found.run_id != held.run_id
    assert found.rerun_token == "b"
    with pytest.raises(BadInputError, match=r"spec\.seed: was 42, is 1"):
        identify(loaded("spec.rerunToken=b", "spec.seed=1"), attempt=attempt, options=LocalOptions())
