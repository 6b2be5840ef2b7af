"""Tasks of inspect-ai packages: found, made, and their samples identified."""

from pathlib import Path
from typing import Any

import pytest

from joulebench_runner.config import DriverSettings, TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.registry import InspectTask, find

PACKAGES = Path(__file__).parent / "packages"


@pytest.fixture(autouse=True)
def quiz_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGES))


def loaded(name: str, tmp_path: Path, **settings: Any) -> Any:
    from joulebench_runner.driver.inspect_task import load_inspect

    task = find(name)
    assert isinstance(task, InspectTask)
    unused = tmp_path / "unused"
    return load_inspect(
        task,
        DriverSettings(
            run_id="r",
            run_dir=tmp_path,
            control_socket=unused,
            ready_file=unused,
            task=TaskSettings(name=name, **settings),
        ),
    )


def test_a_task_keeps_its_samples_ids(tmp_path: Path) -> None:
    task = loaded("inspect:quiz/letters", tmp_path, params={"wanted": "all"}, limit=3)
    assert len(task.record_ids) == 3
    assert set(task.record_ids) < {"letter-c", "letter-p", "half", "crash", "judge", "many", "raise"}
    assert task.revision.startswith("quiz unversioned sha256:")
    assert task.scored
    assert len(task.warmup_prompts) == 3


def test_samples_without_ids_get_one_from_their_content(tmp_path: Path) -> None:
    task = loaded("inspect:quiz/without_ids", tmp_path)
    assert [len(record_id) for record_id in task.record_ids] == [16, 16]
    assert task.record_ids == loaded("inspect:quiz/without_ids", tmp_path).record_ids
    assert not task.scored


def test_the_task_that_is_built_has_the_selected_samples_in_order(tmp_path: Path) -> None:
    task = loaded("inspect:quiz/letters", tmp_path, params={"wanted": "all"}, record_ids=["half", "letter-p"])
    assert [sample.id for sample in task.build().dataset] == list(task.record_ids)
    assert sorted(task.record_ids) == ["half", "letter-p"]


def test_a_canary_in_the_rows_is_the_task_s(tmp_path: Path) -> None:
    assert loaded("inspect:quiz/guarded", tmp_path).resolved(epochs=1).canary == "guid 7"
    assert loaded("inspect:quiz/without_ids", tmp_path).resolved(epochs=1).canary is None


@pytest.mark.parametrize(
    ("name", "settings", "words", "remedy"),
    [
        ("inspect:quiz/leters", {}, "registers no inspect-ai task 'leters'", "Did you mean 'letters'?"),
        ("inspect:quiz/empty_cache", {}, "no such data set in the cache", "where there is a network"),
        ("inspect:quiz/letters", {"params": {"want": 1}}, r"task\.params\.want", "It has: wanted"),
        ("inspect:quiz/letters", {"split": "test"}, r"task\.split is 'test'", "task.params"),
        ("inspect:quiz/letters", {"record_ids": ["letter-x"]}, "'letter-x' is no record", "nearest is 'letter-c'"),
    ],
)
def test_bad_input_is_refused(name: str, settings: dict[str, Any], words: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        loaded(name, tmp_path, **settings)
    assert remedy in str(caught.value.remedy)
