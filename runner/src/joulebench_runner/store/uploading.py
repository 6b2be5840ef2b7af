"""The copy of a run's folder: which files go, in which order."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from joulebench_runner.errors import StoreError
from joulebench_runner.journal.names import SEGMENT_SUFFIX
from joulebench_runner.store.store import Store

JOURNAL: Final = "journal"
SETTINGS: Final = "settings"
SUMMARY: Final = "summary.json"
_OF_THIS_MACHINE: Final = frozenset({"processes.json"})


def segments_in(folder: Path) -> list[str]:
    """Names of the journal's segments that lie in a run's folder, in order."""
    return [name for name in names_in(folder) if is_segment(name)]


def is_segment(name: str) -> bool:
    """Whether a name is that of a journal segment: immutable once it is closed."""
    return JOURNAL in name.split("/")[:-1] and name.endswith(SEGMENT_SUFFIX)


def names_in(folder: Path) -> list[str]:
    """Everything of a run's folder that is copied: no hidden files (locks, drafts), no links, no process ids."""
    return sorted(_names(folder))


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if name.name in _OF_THIS_MACHINE:
            continue
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix()


def put_segment(store: Store, folder: Path, name: str) -> None:
    """Copy a segment, unless it is there. Raises StoreError where another one has its name."""
    there = store.size(name)
    if there is None:
        store.put(folder / name, name)
    elif not store.holds(folder / name, name):
        raise differs(store, folder, name)


def put_other(store: Store, folder: Path, name: str) -> None:
    """Copy any other file, if it is still there."""
    if (folder / name).exists():
        store.put(folder / name, name)


def differs(store: Store, folder: Path, name: str) -> StoreError:
    """The error of two segments with one name: two machines have gone on with one run."""
    return StoreError(
        f"{name} is one thing in {folder} and another in {store.url}: the run was gone on with in both",
        remedy=f"To go on with what {store.url} holds, name an empty folder with --out; to go on with {folder}, name "
        "another store.",
    )


def upload(store: Store, folder: Path, *, skip: Callable[[str], bool] = lambda _name: False) -> None:
    """Copy a whole run: its segments, then its other files, `summary.json` last: where that is, all is.

    `skip` says which segments are known to be there. Raises StoreError if the store refuses for longer than its
    patience; what is there by then stays, and the next call copies the rest.
    """
    names = names_in(folder)
    for name in names:
        if is_segment(name) and not skip(name):
            put_segment(store, folder, name)
    for name in names:
        if not is_segment(name) and name != SUMMARY:
            put_other(store, folder, name)
    put_other(store, folder, SUMMARY)
