"""The topology's file changes under the meter's eyes, and is journalled each time."""

import json
from pathlib import Path
from typing import Any

import pytest

from joulebench_api.contracts.topology import Topology
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.topology import TopologyWatch


def text(generation: int, **more: Any) -> str:
    return json.dumps({"generation": generation, "servers": [], **more})


@pytest.fixture
def watched(journal: Journal, tmp_path: Path) -> tuple[TopologyWatch, Path, list[Topology]]:
    seen: list[Topology] = []
    path = tmp_path / "topology.json"
    return TopologyWatch(path, journal=journal, on_change=seen.append), path, seen


async def test_each_change_is_told_once_and_journalled(watched: Any, journal: Journal, tmp_path: Path) -> None:
    watch, path, seen = watched
    for content in (text(1), text(1), text(2, audience="energy")):
        path.write_text(content)
        watch.look()
    assert [(one.generation, one.audience) for one in seen] == [(1, None), (2, "energy")]
    await journal.commit()
    rows = read(tmp_path / "journal").table(Kind.TOPOLOGY).to_pylist()
    assert [Topology.model_validate_json(row["json"]) for row in rows] == seen


async def test_a_link_that_is_swapped_is_a_change(watched: Any, tmp_path: Path) -> None:
    watch, path, seen = watched
    for generation in (1, 2):
        (tmp_path / str(generation)).write_text(text(generation))
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / str(generation))
        watch.look()
    assert [one.generation for one in seen] == [1, 2]


async def test_an_older_file_changes_nothing(watched: Any) -> None:
    watch, path, seen = watched
    for generation in (2, 1):
        path.write_text(text(generation))
        watch.look()
    assert [one.generation for one in seen] == [2]


async def test_a_file_that_cannot_be_read_keeps_what_was_known_and_is_noted_once(
    watched: Any, journal: Journal, tmp_path: Path
) -> None:
    watch, path, seen = watched
    path.write_text(text(1))
    watch.look()
    path.write_text('{"servers": 3}')
    watch.look()
    watch.look()
    assert watch.current == seen[0]
    assert "topology.json cannot be read: servers: Input should be a valid array" in (watch.problem or "")
    await journal.commit()
    assert read(tmp_path / "journal").table(Kind.NOTE).num_rows == 1
    path.write_text(text(2))
    watch.look()
    assert watch.problem is None


async def test_a_file_that_is_not_there_yet_is_waited_for(watched: Any) -> None:
    watch, path, seen = watched
    watch.look()
    assert "No such file" in (watch.problem or "")
    path.write_text(text(1))
    watch.look()
    assert len(seen) == 1
