"""`joulebench download`, and runs that lie elsewhere."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joulebench_runner.cli import named
from joulebench_runner.cli.download import download
from joulebench_runner.cli.named import is_brought, run_folder
from joulebench_runner.errors import BadInputError


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The address of a store with a run."""
    folder = tmp_path / "store" / "nightly"
    (folder / "journal").mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    (folder / "journal" / "00000001.arrows").write_text("x")
    (folder / ".hidden").write_text("not ours")
    return f"file://localhost{folder}"


def run(*words: str) -> Any:
    """Run the command."""
    return CliRunner().invoke(download, list(words))


def test_everything_comes_but_hidden_files(store: str, tmp_path: Path) -> None:
    target = tmp_path / "here"
    done = run(store, f"--to={target}")
    assert done.exit_code == 0, done.output
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.*")) == [
        "journal/00000001.arrows",
        "summary.json",
    ]
    assert "2 files" in done.stderr


def test_an_empty_place_is_refused(store: str, tmp_path: Path) -> None:
    done = run(f"{store}-other", f"--to={tmp_path / 'here'}")
    assert isinstance(done.exception, BadInputError)
    assert "there is nothing at" in done.exception.message


def test_a_folder_with_something_in_it_is_left_alone(store: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = run(store, f"--to={tmp_path}")
    assert isinstance(done.exception, BadInputError)
    assert not (tmp_path / "summary.json").exists()


def test_a_folder_is_itself(tmp_path: Path) -> None:
    with run_folder(str(tmp_path)) as found:
        assert found == tmp_path
        assert not is_brought(str(tmp_path), found)


def test_a_folder_that_is_called_like_a_run_on_a_cluster_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("brun/nightly").mkdir(parents=True)
    with run_folder("brun/nightly") as found:
        assert found == Path("brun/nightly")


def bring(name: str, target: Path) -> None:
    """Stands in for what a package that knows clusters offers."""
    target.mkdir()
    (target / "name").write_text(name)


def test_a_run_on_a_cluster_is_brought_and_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("brun", f"{__name__}:bring", "joulebench.folders")
    monkeypatch.setattr(EntryPoint, "load", lambda _: bring)
    monkeypatch.setattr(named, "entry_points", lambda group: [point] if group == "joulebench.folders" else [])

    with run_folder("brun/team/nightly") as found:
        assert (found.name, (found / "name").read_text()) == ("nightly", "team/nightly")
        assert is_brought("brun/team/nightly", found)
    assert not found.exists()


def test_without_anybody_who_knows_clusters_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "entry_points", lambda group: [])
    with pytest.raises(BadInputError) as refused, run_folder("brun/nightly"):
        pass
    assert refused.value.remedy == "pip install joulebench-operator"
