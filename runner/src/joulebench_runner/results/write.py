"""Results as files, each there in full or not at all."""

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
        write_summary(results.summary, folder)
    except OSError as error:
        raise RunnerError(
            f"cannot write the results to {folder}: {error}",
            remedy="Make room or mend the folder's permissions, then run the same command again: the journal is kept.",
        ) from error


def write_summary(summary: Summary, folder: Path) -> None:
    """Write `summary.json` alone."""
    replace_file(folder / SUMMARY, lambda path: _write_text(path, summary.model_dump_json(indent=2)))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n")


def replace_file(path: Path, write_to: Callable[[Path], object]) -> None:
    """Write beside the file, flush to disk, then take its place. OSError."""
    new = path.with_name(f".{path.name}.new")
    write_to(new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    new.replace(path)
