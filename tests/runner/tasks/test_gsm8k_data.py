"""gsm8k: where the problems come from, and what is said when they are not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.data import read_jsonl
from joulebench_runner.tasks.gsm8k import load
from joulebench_runner.tasks.records import Dataset, LoadRequest

ROWS = [
    {"question": "Tom has 3 hens. He buys 4. How many has he?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
    {"question": "A line\u2028with a Unicode separator costs $1,000. How much?", "answer": "#### 1,000"},
]


def write(folder: Path, rows: list[dict[str, str]], *, split: str = "test") -> Path:
    """A data root with one task."""
    (folder / "gsm8k").mkdir(exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "gsm8k" / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    return folder


async def loaded(folder: Path | None, **changes: object) -> Dataset:
    settings = TaskSettings.model_validate({"name": "gsm8k", "data_root": folder, **changes})
    return await load(LoadRequest(settings=settings, parameters={}, seed=42, warmup_queries=2))


async def test_a_local_folder_is_read_by_line_feed_alone(tmp_path: Path) -> None:
    dataset = await loaded(write(tmp_path, ROWS))
    assert [record.reference for record in dataset.records] == ["7", "1000"]
    assert dataset.revision.startswith("sha256:")
    assert ROWS[1]["question"] in dataset.records[1].prompt


async def test_record_ids_depend_on_the_question_and_not_on_its_place(tmp_path: Path) -> None:
    forward = await loaded(write(tmp_path, ROWS))
    backward = await loaded(write(tmp_path, ROWS[::-1]))
    assert {record.record_id for record in forward.records} == {record.record_id for record in backward.records}
    assert forward.revision != backward.revision


async def test_another_split_is_another_file(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    assert len((await loaded(write(tmp_path, ROWS[:1], split="train"), split="train")).records) == 1


async def test_warm_up_prompts_are_no_problems_of_the_set(tmp_path: Path) -> None:
    dataset = await loaded(write(tmp_path, ROWS))
    assert len(dataset.warmup_prompts) == 2
    assert not {record.prompt for record in dataset.records} & set(dataset.warmup_prompts)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "Q"}, "field 'answer' is None"),
        ({"question": "Q", "answer": "seven"}, "without '#### NUMBER'"),
    ],
)
async def test_rows_of_another_shape_are_refused(tmp_path: Path, row: dict[str, str], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        await loaded(write(tmp_path, [row]))


@pytest.mark.parametrize("line", ["{not json", "[1]"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(BadInputError, match=r"rows\.jsonl, line 2"):
        list(read_jsonl(path))


async def test_the_real_test_split_has_1319_problems(real_data: Path) -> None:
    dataset = await loaded(real_data)
    assert len(dataset.records) == 1319
    assert all(record.reference for record in dataset.records)


# `datasets` reads its environment when it is imported and takes seconds to import, so all of it is one process.
HUB_SCRIPT = """
import asyncio, json, sys
from pathlib import Path
from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.data import HubSource, load_rows

repository, cache = sys.argv[1:]
rows = load_rows(
    "gsm8k",
    hub=HubSource(id=repository, config="main", split="test", revision="0123abc"),
    settings=TaskSettings(name="gsm8k", data_root=Path("/nowhere")),
    cache_dir=Path(cache),
)
try:
    load_rows(
        "gsm8k",
        hub=HubSource(id="openai/gsm8k", config="main", split="test", revision="0123abc"),
        settings=TaskSettings(name="gsm8k", data_root=Path("/nowhere")),
        cache_dir=Path(cache),
    )
except BadInputError as error:
    print(json.dumps([rows.rows, rows.revision, error.message, error.remedy]))
"""


def test_the_hub_is_read_through_datasets_and_absence_says_how_to_fetch(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "main").mkdir(parents=True)
    (repository / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: test\n    path: main/test.jsonl\n---\n"
    )
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS]
    (repository / "main" / "test.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}

    done = subprocess.run(
        [sys.executable, "-c", HUB_SCRIPT, str(repository), str(tmp_path / "cache")],
        env=os.environ | offline, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    rows, revision, message, remedy = json.loads(done.stdout.splitlines()[-1])
    assert rows == ROWS
    assert revision == "0123abc"
    assert "/nowhere/gsm8k/test.jsonl does not exist" in message
    assert "joulebench fetch gsm8k --split test --to DIR" in remedy
    assert "gsm8k/test.jsonl" in remedy
