"""`joulebench fetch` against a hub on this machine, and offline runs over what it fetched."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runner.tasks.hub import SHA, Hub, gsm8k, serving

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.gsm8k import load
from joulebench_runner.tasks.manifest import add_entry, file_revision
from joulebench_runner.tasks.records import Dataset, LoadRequest

ROWS = [
    {"question": "Tom has 3 hens. He buys 4. How many has he?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
    {"question": "A line\u2028with a Unicode separator costs $1,000. How much?", "answer": "#### 1,000"},
]
COMMAND = "from joulebench_runner.cli import main; main.main()"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub with the set of gsm8k."""
    with serving(Hub({"openai/gsm8k": gsm8k(ROWS)})) as served:
        yield served


def fetch(hub: Hub | str, root: Path, *more: str, home: Path, token: str | None = None) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(home)} | ({} if token is None else {"HF_TOKEN": token})
    endpoint = hub if isinstance(hub, str) else hub.url
    command = ("fetch", "gsm8k", "--to", str(root), "--endpoint", endpoint, *more)
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *command],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fetched(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root that was filled once."""
    root = tmp_path_factory.mktemp("data")
    done = fetch(hub, root, "--json", home=tmp_path_factory.mktemp("home"))
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["state"], found["rows"], found["source"]["revision"]) == ("fetched", 2, SHA)
    return root


def copied(fetched: Path, to: Path) -> Path:
    (to / "gsm8k").mkdir(parents=True)
    for file in (fetched / "gsm8k").iterdir():
        (to / "gsm8k" / file.name).write_bytes(file.read_bytes())
    return to


async def loaded(root: Path, **changes: Any) -> Dataset:
    settings = TaskSettings(name="gsm8k", data_root=root, offline=True, **changes)
    return await load(LoadRequest(settings=settings, parameters={}, seed=42))


async def test_a_run_without_a_network_asks_what_was_fetched_as_if_it_came_from_the_hub(fetched: Path) -> None:
    dataset = await loaded(fetched)
    assert [record.reference for record in dataset.records] == ["7", "1000"]
    assert dataset.revision == SHA
    assert dataset.parameters["origin"] == "hub:openai/gsm8k"


def test_the_manifest_holds_hash_rows_licence_and_source(fetched: Path) -> None:
    manifest = json.loads((fetched / "gsm8k" / "manifest.json").read_text())
    entry = manifest["files"]["test.jsonl"]
    assert f"sha256:{entry['sha256']}" == file_revision(fetched / "gsm8k" / "test.jsonl")
    assert (entry["rows"], entry["licence"]) == (2, "MIT")
    assert entry["source"] == {"hub": "openai/gsm8k", "config": "main", "split": "test", "revision": SHA}


async def test_a_file_that_was_changed_is_refused(fetched: Path, tmp_path: Path) -> None:
    root = copied(fetched, tmp_path)
    with (root / "gsm8k" / "test.jsonl").open("a") as file:
        file.write(json.dumps(ROWS[0]) + "\n")
    with pytest.raises(BadInputError, match="is not the file that was fetched") as caught:
        await loaded(root)
    assert "--force" in str(caught.value.remedy)


async def test_another_revision_than_the_one_that_is_there_is_refused(fetched: Path) -> None:
    with pytest.raises(BadInputError, match="the run wants 'abc'"):
        await loaded(fetched, hub_revision="abc")


async def test_a_split_that_was_not_fetched_says_how_to_fetch_it(fetched: Path) -> None:
    with pytest.raises(BadInputError, match="must not be fetched from the hub") as caught:
        await loaded(fetched, split="train")
    assert "joulebench fetch gsm8k --split train --to DIR" in str(caught.value.remedy)


async def test_a_damaged_manifest_is_named(fetched: Path, tmp_path: Path) -> None:
    root = copied(fetched, tmp_path)
    (root / "gsm8k" / "manifest.json").write_text("{")
    with pytest.raises(BadInputError, match=r"manifest\.json cannot be read"):
        await loaded(root)


def test_what_is_there_is_not_fetched_again(hub: Hub, fetched: Path, tmp_path: Path) -> None:
    before = len(hub.calls)
    done = fetch(hub, fetched, home=tmp_path)
    assert "already there: 2 rows" in done.stdout
    assert len(hub.calls) == before


def test_files_put_there_by_hand_are_not_replaced_without_being_told(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_text("{}\n")
    done = fetch(hub, tmp_path, home=tmp_path)
    assert done.returncode == 2
    assert "put there by hand" in done.stderr
    assert (tmp_path / "gsm8k" / "test.jsonl").read_text() == "{}\n"


def test_a_gated_set_says_exactly_what_to_do(tmp_path: Path) -> None:
    with serving(Hub({"openai/gsm8k": gsm8k(ROWS)}, gated=("openai/gsm8k",))) as gated:
        done = fetch(gated, tmp_path / "data", home=tmp_path)
        assert done.returncode == 2
        assert "is gated" in done.stderr
        assert f"Accept its licence at {gated.url}/datasets/openai/gsm8k" in done.stderr
        assert "export HF_TOKEN=" in done.stderr
        assert not (tmp_path / "data").exists()
        with_token = fetch(gated, tmp_path / "data", home=tmp_path, token=Hub.token)
        assert with_token.returncode == 0, with_token.stderr


@pytest.mark.parametrize(
    ("repositories", "more", "words"),
    [
        ({}, (), "the hub has no data set openai/gsm8k"),
        ({"openai/gsm8k": gsm8k(ROWS)}, ("--revision", "abc"), "has no revision abc"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    tmp_path: Path, repositories: dict[str, dict[str, bytes]], more: tuple[str, ...], words: str
) -> None:
    with serving(Hub(repositories)) as served:
        done = fetch(served, tmp_path / "data", *more, home=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    done = fetch("http://127.0.0.1:9", tmp_path / "data", home=tmp_path)
    assert done.returncode == 2
    assert "the hub at http://127.0.0.1:9 cannot be asked" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_are_added_to_a_manifest_beside_the_others(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        add_entry(tmp_path / name, {"sha256": name})
    assert set(json.loads((tmp_path / "manifest.json").read_text())["files"]) == {"a.jsonl", "b.jsonl"}
