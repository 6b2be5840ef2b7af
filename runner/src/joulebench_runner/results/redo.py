"""Results made anew from a run's journal, by another method, other prices or other verdicts. Nothing is asked again.

They lie beside the old ones, in `redone/<number>-<what>/` of the run's folder, as the same set of files; the run's own
files are never touched.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from joulebench_api.contracts.meter import Stage
from joulebench_api.contracts.summary import Summary
from joulebench_runner import __version__
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import BadInputError, RunnerError
from joulebench_runner.results.build import Results, build
from joulebench_runner.results.folder import SUMMARY, RunFolder
from joulebench_runner.results.tables import Journal
from joulebench_runner.results.write import write

REDONE: Final = "redone"
MODEL_FILES: Final = "model_files"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is done otherwise than in the run. `settings` and `journal` take what was and give what is to be."""

    what: str
    """In a word: `attribution`, `scores` or `prices`."""
    label: str
    """For the folder's name."""
    given: dict[str, JsonValue]
    """With what it is done, for provenance."""
    settings: Callable[[MeterSettings], MeterSettings] = lambda settings: settings
    journal: Callable[[Journal], Journal] = lambda journal: journal


@dataclass(frozen=True, kw_only=True)
class Redone:
    """What came out, and where it lies."""

    folder: Path
    before: Summary
    summary: Summary
    provenance: dict[str, JsonValue]


def redo(run: RunFolder, change: Change, *, out: Path | None = None) -> Redone:
    """Build all results anew and write them into a new folder; into `out` where one is named.

    RunnerError (BadInputError, JournalError) for what cannot be read or written; then nothing new is left.
    """
    if "redone" in run.provenance:
        raise BadInputError(
            f"{run.path} was itself made anew and has no journal", remedy="Name the folder of the run it was made from."
        )
    journal = change.journal(run.journal())
    results = build(
        journal,
        change.settings(run.meter_settings),
        outcome=run.summary.state,
        message=run.summary.message,
        remedy=run.summary.remedy,
    )
    results = _with_history(results, run, change)
    folder = _write(results, run.path / REDONE, change.label) if out is None else _write_to(results, out)
    return Redone(folder=folder, before=run.summary, summary=results.summary, provenance=results.provenance)


def _with_history(results: Results, run: RunFolder, change: Change) -> Results:
    """The results with what only the run knew, and with what was redone."""
    ended = next((stage.seconds for stage in run.summary.stages if stage.name is Stage.EXPORT), None)
    stages = [
        stage.model_copy(update={"seconds": ended}) if stage.name is Stage.EXPORT else stage
        for stage in results.summary.stages
    ]
    history: dict[str, JsonValue] = {
        MODEL_FILES: run.provenance.get(MODEL_FILES),
        "redone": {
            "what": change.what,
            "with": change.given,
            "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "by": f"joulebench-runner {__version__}",
            "from": {
                "run": run.summary.run,
                "summary_sha256": hashlib.sha256((run.path / SUMMARY).read_bytes()).hexdigest(),
                "method": run.summary.energy.method.value,
                "versions": run.provenance.get("versions"),
                "missing": list(run.problems),
            },
        },
    }
    return replace(
        results,
        summary=results.summary.model_copy(update={"stages": stages}),
        provenance=results.provenance | history,
    )


def _write(results: Results, parent: Path, label: str) -> Path:
    """Into the next free number, whole or not at all."""
    new = parent / f".new-{label}"
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        write(results, new)
        return new.rename(_next(parent, label))
    except OSError as error:
        raise _refused(parent, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _next(parent: Path, label: str) -> Path:
    taken = [int(number) for entry in parent.iterdir() if (number := entry.name.partition("-")[0]).isdecimal()]
    return parent / f"{max(taken, default=0) + 1}-{label}"


def _write_to(results: Results, folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadInputError(f"--out {folder} is not empty", remedy="Name a new or empty folder.")
        write(results, folder)
    except OSError as error:
        raise _refused(folder, error) from error
    return folder


def _refused(folder: Path, error: OSError) -> RunnerError:
    return RunnerError(
        f"cannot write into {folder}: {error.strerror or error}",
        remedy="Mend its permissions, or name another folder with --out.",
    )
