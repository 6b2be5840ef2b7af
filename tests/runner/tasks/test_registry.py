"""The registry: names, data sheets, parameters."""

import subprocess
import sys

import pytest

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.registry import REGISTRY, InspectTask, find


def entry(name: str) -> TaskEntry:
    found = find(name)
    assert isinstance(found, TaskEntry)
    return found


@pytest.mark.parametrize("key", sorted(REGISTRY))
def test_every_entry_has_a_data_sheet(key: str) -> None:
    sheet = entry(key)
    assert sheet.key == key
    assert sheet.description.endswith(".")
    assert sheet.licence
    assert sheet.scored == (sheet.grade is not None)


def test_gsm8k_is_pinned_to_a_commit() -> None:
    hub = entry("gsm8k").hub
    assert hub is not None
    assert (hub.id, hub.config, hub.split) == ("openai/gsm8k", "main", "test")
    assert len(hub.revision) == 40


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(BadInputError, match="no task 'gsm8'") as caught:
        find("gsm8")
    assert "Did you mean 'gsm8k'?" in str(caught.value.remedy)


def test_an_inspect_name_is_read() -> None:
    assert find("inspect:json/quiz") == InspectTask(package="json", task="quiz")


@pytest.mark.parametrize("name", ["inspect:", "inspect:quiz", "inspect:/quiz", "inspect:a b/quiz"])
def test_a_misshapen_inspect_name_is_refused(name: str) -> None:
    with pytest.raises(BadInputError, match="not of the form inspect:package/task"):
        find(name)


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(BadInputError, match=r"'surely_not_there' .* is not installed"):
        find("inspect:surely_not_there/quiz")


def test_parameters_get_their_defaults() -> None:
    settings = TaskSettings(name="fixed_length", params={"inputTokens": 7})
    assert entry("fixed_length").check(settings) == {"inputTokens": 7, "outputTokens": 64, "records": None}


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("everyday", {"params": {"levle": 2}}, r"task\.params\.levle"),
        ("everyday", {"params": {"level": 6}}, r"task\.params\.level is 6"),
        ("everyday", {"params": {"level": []}}, r"task\.params\.level is \[\]"),
        ("fixed_length", {"params": {"inputTokens": [1]}}, r"inputTokens is \[1\]"),
        ("fixed_length", {"params": {"inputTokens": 0}}, "at least 1"),
        ("gsm8k", {"few_shot": 3}, r"task\.fewShot is 3"),
        ("everyday", {"split": "test"}, r"task\.split is 'test'"),
        ("everyday", {"subset": "main"}, r"task\.subset is 'main'"),
    ],
)
def test_what_a_task_does_not_take_is_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        entry(name).check(TaskSettings.model_validate({"name": name, **settings}))


def test_a_misspelt_parameter_gets_the_nearest_name() -> None:
    with pytest.raises(BadInputError) as caught:
        entry("everyday").check(TaskSettings(name="everyday", params={"levle": 2}))
    assert "Did you mean 'level'?" in str(caught.value.remedy)


def test_the_registry_imports_no_evaluation_library() -> None:
    script = (
        "import sys, joulebench_runner.tasks.registry; "
        "print(*{'inspect_ai', 'datasets', 'openai', 'pyarrow', 'aiohttp'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
