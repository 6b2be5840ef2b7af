"""A run is brought back from its store, so that it can go on in a new folder or on another machine.

Folder and store are united by the names of the journal's segments, which never change once they are closed. A segment
that both have must be the same in both. Whoever has more segments is ahead; the other files (settings, results, logs)
are a matter of who is ahead, because they can be made again from the journal.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from joulebench_runner.errors import BadInputError, StoreError
from joulebench_runner.store.patience import AT_THE_START
from joulebench_runner.store.store import Store
from joulebench_runner.store.uploading import SUMMARY, differs, is_segment, segments_in

_AT_ONCE: Final = 8


def bring_back(store: Store, folder: Path, *, below: str | None = None) -> bool:
    """Bring what the store has and the folder lacks; whether anything was brought. `below`: of this folder alone.

    If segments are brought, the store's other files are brought too, `summary.json` last.
    Raises BadInputError, and brings nothing, if a segment is not the same in both; or if the store cannot be read.
    """
    patient = store.with_patience(AT_THE_START)
    try:
        return _bring_back(patient, folder, below=below)
    except StoreError as error:
        raise BadInputError(f"spec.results.store.objectStore: {error.message}", remedy=error.remedy) from error


def bring_all(store: Store, folder: Path) -> int:
    """Bring everything that the store has; how many files. Raises BadInputError, also where it has nothing."""
    patient = store.with_patience(AT_THE_START)
    try:
        names = [name for name in patient.list() if _is_ours(name)]
        _all_of(lambda name: patient.get(name, folder / name), names)
    except StoreError as error:
        raise BadInputError(error.message, remedy=error.remedy) from error
    if not names:
        raise BadInputError(f"there is nothing at {store.url}", remedy="name the run's own folder, such as URL/NAME")
    return len(names)


def _bring_back(store: Store, folder: Path, *, below: str | None) -> bool:
    there = [name for name in store.list() if _is_ours(name) and (below is None or name.startswith(f"{below}/"))]
    here = set(segments_in(folder))
    segments = [name for name in there if is_segment(name)]
    _all_of(lambda name: _compare(store, folder, name), here.intersection(segments))
    missing = sorted(set(segments) - here)
    if not missing:
        return False
    others = [name for name in there if not is_segment(name)]
    # Segments last of all but the summary: a folder that has them has the settings that they were made with.
    for names in ([name for name in others if name != SUMMARY], missing, [name for name in others if name == SUMMARY]):
        _all_of(lambda name: store.get(name, folder / name), names)
    return True


def _is_ours(name: str) -> bool:
    """Hidden files are nobody's business here, and no name may lead out of the folder."""
    return not any(part.startswith(".") for part in name.split("/"))


def _compare(store: Store, folder: Path, name: str) -> None:
    if not store.holds(folder / name, name):
        raise differs(store, folder, name)


def _all_of(work: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="store") as threads:
        list(threads.map(work, names))
