"""The folder of a run: claimed by one run, clean after a refusal."""

import subprocess
import sys
from pathlib import Path

import pytest

from joulebench_runner.errors import BadInputError
from joulebench_runner.local.folder import LOCK_FILE, claimed

DIE_HOLDING = """
import os, sys
from pathlib import Path
from joulebench_runner.local.folder import claimed
with claimed(Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""


def refused_run(target: Path) -> None:
    """A run that writes some files and is then found to be wrong."""
    with claimed(target) as folder:
        (folder / "logs").mkdir()
        (folder / "logs" / "driver.log").write_text("words")
        raise BadInputError("no such task")


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    with claimed(tmp_path / "a" / "b") as folder:
        assert folder.is_dir()


def test_two_runs_in_one_folder_are_refused_and_the_first_keeps_its_files(tmp_path: Path) -> None:
    with claimed(tmp_path) as folder:
        (folder / "summary.partial").write_text("mine")
        with pytest.raises(BadInputError, match="another run is writing") as refused, claimed(tmp_path):
            pass
        assert "--out" in (refused.value.remedy or "")
        assert (folder / "summary.partial").read_text() == "mine"


def test_a_process_that_died_does_not_hold_the_lock(tmp_path: Path) -> None:
    holder = subprocess.run(
        [
            sys.executable,
            "-c",
            DIE_HOLDING,
            str(tmp_path),
        ],
        check=False,
    )
    assert holder.returncode == -9
    assert (tmp_path / LOCK_FILE).exists()
    with claimed(tmp_path):
        pass


@pytest.mark.parametrize("left", ["summary.json", "journal"])
def test_of_a_folder_that_held_a_run_nothing_is_removed(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir()
    with pytest.raises(BadInputError, match="no such task"):
        refused_run(tmp_path)
    assert (tmp_path / left).exists()
    assert (tmp_path / "logs" / "driver.log").exists()


def test_a_refused_run_leaves_no_folder_behind(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with pytest.raises(BadInputError, match="no such task"):
        refused_run(target)
    assert not target.exists()


def test_a_refused_run_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the user's")
    with pytest.raises(BadInputError):
        refused_run(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [LOCK_FILE, "notes.txt"]


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BadInputError, match="is a file, not a folder"), claimed(tmp_path / "out"):
        pass


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere, so the refusal of a read-only file system is provoked here.
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BadInputError, match="Read-only file system"), claimed(tmp_path / "x"):
        pass
