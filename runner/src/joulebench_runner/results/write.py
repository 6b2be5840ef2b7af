"""Results as files, each there in full or not at all."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from joulebench_api.contracts.summary import Summary
from joulebench_runner.errors import RunnerError
from joulebench_runner.results.build import Results

SUMMARY, PROVENANCE = "summary.json", "provenance.json"


def write(results: Results, folder: Path) -> None:
    """Write all files; `summary.json` last, so that whoever sees it sees all. RunnerError where the folder refuses."""
    try:
        for name, table in results.tables.items():
            replace_file(folder / name, lambda path, table=table: pq.write_table(table, path, compression="zstd"))  # type: ignore[misc]
        replace_file(folder / PROVENANCE, lambda path: _write_text(path, json.dumps(results.provenance, indent=2)))
    except OSError as error:
        raise _write_error(folder, error) from error
    write_summary(results.summary, folder)


def write_summary(summary: Summary, folder: Path) -> None:
    """Write `summary.json` alone. RunnerError where the folder refuses."""
    try:
        replace_file(folder / SUMMARY, lambda path: _write_text(path, summary.model_dump_json(indent=2)))
    except OSError as error:
        raise _write_error(folder, error) from error


def _write_error(folder: Path, error: OSError) -> RunnerError:
    return RunnerError(
        f"cannot write the results to {folder}: {error}",
        remedy="Make room or mend the folder's permissions, then run the same command again: the journal is kept.",
    )


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n")


def replace_file(path: Path, write_to: Callable[[Path], object]) -> None:
    """Write beside the file, flush to disk, then take its place. OSError."""
    new = path.with_name(f".{path.name}.new")
    try:
        write_to(new)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        # A draft that did not fit would keep the disk full.
        with contextlib.suppress(OSError):  # the error that led here is told
            new.unlink(missing_ok=True)
        raise
