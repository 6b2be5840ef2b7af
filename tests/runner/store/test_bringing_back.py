"""A run is brought back from its store, and united with what the folder has."""

from pathlib import Path

import pytest

from joulebench_runner.errors import BadInputError
from joulebench_runner.store import Store, bring_back, upload


def contents(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def without_lock(files: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in files.items() if name != ".lock"}


def test_a_new_folder_gets_the_whole_run(store: Store, run_folder: Path, tmp_path: Path) -> None:
    upload(store, run_folder)
    assert bring_back(store, tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == without_lock(contents(run_folder))


def test_an_empty_store_brings_nothing(store: Store, run_folder: Path) -> None:
    before = contents(run_folder)
    assert not bring_back(store, run_folder)
    assert contents(run_folder) == before


def test_a_run_that_never_closed_a_segment_is_none(store: Store, run_folder: Path, tmp_path: Path) -> None:
    store.put(run_folder / "settings/meter.json", "settings/meter.json")
    assert not bring_back(store, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_with_the_same_brings_nothing(store: Store, run_folder: Path) -> None:
    upload(store, run_folder)
    (run_folder / "summary.json").write_text("made again")
    assert not bring_back(store, run_folder)
    assert (run_folder / "summary.json").read_text() == "made again"


def test_a_folder_that_is_ahead_stays_as_it_is(store: Store, run_folder: Path) -> None:
    upload(store, run_folder)
    (run_folder / "journal/00000003.arrows").write_text("later")
    (run_folder / "summary.json").unlink()
    assert not bring_back(store, run_folder)
    assert not (run_folder / "summary.json").exists()


def test_a_store_that_is_ahead_brings_its_segments_and_its_results(store: Store, run_folder: Path) -> None:
    (run_folder / "journal/00000003.arrows").write_text("later")
    (run_folder / "summary.json").write_text("of three segments")
    upload(store, run_folder)
    (run_folder / "journal/00000003.arrows").unlink()
    (run_folder / "summary.json").write_text("of two segments")
    assert bring_back(store, run_folder)
    assert contents(run_folder)["journal/00000003.arrows"] == "later"
    assert contents(run_folder)["summary.json"] == "of three segments"


@pytest.mark.parametrize("other", ["00000002 of another machine", "journal/00000002.arrows of the Run"])
def test_two_that_went_on_apart_are_refused_and_left_alone(store: Store, run_folder: Path, other: str) -> None:
    (run_folder / "journal/00000003.arrows").write_text("only in the store")
    upload(store, run_folder)
    (run_folder / "journal/00000003.arrows").unlink()
    (run_folder / "journal/00000002.arrows").write_text(other)
    before = contents(run_folder)
    with pytest.raises(BadInputError, match=r"journal/00000002\.arrows is one thing in") as refused:
        bring_back(store, run_folder)
    assert "name an empty folder with --out" in (refused.value.remedy or "")
    assert contents(run_folder) == before


def test_later_attempts_are_brought_with_the_first(store: Store, run_folder: Path, tmp_path: Path) -> None:
    later = run_folder / "attempts/2/journal/00000001.arrows"
    later.parent.mkdir(parents=True)
    later.write_text("again")
    upload(store, run_folder)
    assert bring_back(store, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/attempts/2/journal/00000001.arrows").read_text() == "again"


def test_nothing_is_written_outside_the_folder(store: Store, run_folder: Path, tmp_path: Path) -> None:
    upload(store, run_folder)
    store.put(run_folder / "summary.json", ".hidden/summary.json")
    bring_back(store, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere/.hidden").exists()
