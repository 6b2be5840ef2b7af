"""Which folder a run writes into: the one that was named, or one beside its earlier attempts.

The first attempt lies in the folder itself, the n-th (`spec.rerunToken` was changed) in `attempts/n`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_runner.local.run_file import RunFile, find_run

ATTEMPTS: Final = "attempts"


@dataclass(frozen=True)
class Attempt:
    """Where to write, and the run that lies there already."""

    number: int
    folder: Path
    run: RunFile | None
    first: RunFile | None
    """The run of the first attempt, which all others repeat."""


def choose(folder: Path, *, token: str | None) -> Attempt:
    """The attempt that a token means: the latest that carries it, or a new one. No token: the latest of all.

    Raises BadInputError where a folder holds a run that cannot be gone on with.
    """
    there = list(_attempts(folder))
    first = there[0].run if there else None
    for attempt in reversed(there):
        if attempt.run is not None and token in {None, attempt.run.rerun_token}:
            return attempt
    number = len(there) + 1
    return Attempt(number, _place(folder, number), None, first)


def _attempts(folder: Path) -> Iterator[Attempt]:
    """Those that were begun, in order; an unused folder ends them."""
    first = find_run(folder)
    number, run = 1, first
    while run is not None:
        yield Attempt(number, _place(folder, number), run, first)
        number += 1
        run = find_run(_place(folder, number))


def _place(folder: Path, number: int) -> Path:
    return folder if number == 1 else folder / ATTEMPTS / str(number)
