"""The folder of a run: made for one run, locked while it is written, gone on with after a run that did not end."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

from joulebench_runner.errors import BadInputError

LOCK_FILE = ".lock"
LOGS = "logs"
JOURNAL = "journal"
SETTINGS = "settings"
METER_SETTINGS = "meter.json"
DRIVER_SETTINGS = "driver.json"
RUN_FILE = "run.json"
PROCESSES_FILE = "processes.json"
SUMMARY = "summary.json"


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Make a run's folder and hold its lock.

    The lock is the kernel's (`flock`), so a process that died does not hold it. A run that is refused as bad input
    leaves nothing behind: what was written since is removed, and the folder too if we made it. Of a folder that held a
    run before nothing is ever removed.
    """
    made = _make(path)
    descriptor = _lock(path)
    before = set(path.iterdir())
    try:
        yield path
    except BadInputError:
        if not holds_run(path, among=before):
            _remove_new(path, before)
        if made:
            (path / LOCK_FILE).unlink()
            path.rmdir()
        raise
    finally:
        os.close(descriptor)


def holds_run(path: Path, *, among: AbstractSet[Path] | None = None) -> bool:
    """Whether a folder (or a listing of it) has the traces of a run."""
    entries = set(path.iterdir()) if among is None else among
    return any(path / name in entries for name in (JOURNAL, SUMMARY))


def _remove_new(path: Path, before: set[Path]) -> None:
    for entry in set(path.iterdir()) - before:
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _make(path: Path) -> bool:
    existed = path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInputError(f"--out {path} is a file, not a folder", remedy="name a folder, new or empty") from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    return not existed


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in {errno.EACCES, errno.EAGAIN}:
            raise
        raise BadInputError(
            f"another run is writing into {path}", remedy="wait for it to end, or choose another folder with --out"
        ) from None
    return descriptor


def _cannot_write(path: Path, error: OSError) -> BadInputError:
    return BadInputError(
        f"cannot write into {path}: {error.strerror or error}", remedy="choose a folder you may write to with --out"
    )
