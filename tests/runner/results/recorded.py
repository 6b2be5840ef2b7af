"""A run's folder as it lies on a disk, journal included, made from rows that a test wrote by hand."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from joulebench_runner.config import DriverSettings, MeterSettings, TaskSettings
from joulebench_runner.journal import schema
from joulebench_runner.results.build import build
from joulebench_runner.results.folder import RunFolder, open_run
from joulebench_runner.results.write import write


def record(rows: dict[schema.Kind, list[dict[str, Any]]], settings: MeterSettings, *, segments: int = 1) -> RunFolder:
    """Write the journal, the settings and the results of a run into `settings.run_dir`, and open it."""
    folder = settings.run_dir
    (folder / "journal").mkdir(parents=True)
    (folder / "settings").mkdir()
    flat = [(kind, row) for kind, found in rows.items() for row in found]
    size = -(-len(flat) // segments)
    for number in range(segments):
        _segment(folder / "journal" / f"{number + 1:08d}.arrows", flat[number * size : (number + 1) * size])
    settings.write(folder / "settings" / "meter.json")
    _driver(settings).write(folder / "settings" / "driver.json")
    run = RunFolder(folder, summary=None, provenance={})  # type: ignore[arg-type]  # only its journal is read
    write(build(run.journal(), settings, outcome="completed"), folder)
    return open_run(folder)


def _driver(settings: MeterSettings) -> DriverSettings:
    paths = {"run_dir": settings.run_dir, "control_socket": Path("c.sock"), "ready_file": Path("ready.json")}
    return DriverSettings(run_id=settings.run_id, task=TaskSettings(name="gsm8k"), **paths)


def _segment(path: Path, rows: list[tuple[schema.Kind, dict[str, Any]]]) -> None:
    metadata = {
        schema.META_SCHEMA_VERSION: "1",
        schema.META_BOOT_ID: "boot-1",
        schema.META_INSTANCE_ID: "meter-1",
        schema.META_MONOTONIC_NS: "0",
        schema.META_REALTIME_NS: str(1_790_000_000 * 10**9),
    }
    lines = [_line(place, kind, row) for place, (kind, row) in enumerate(rows)]
    table = pa.Table.from_pylist(lines, schema=schema.SCHEMA.with_metadata(metadata))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


def _line(place: int, kind: schema.Kind, row: dict[str, Any]) -> dict[str, Any]:
    time_ns = row["row_time_ns"] if "row_time_ns" in row else row["time_ns"]
    event = {name: row.get(name) for name in schema.FIELDS[kind]}
    return {"sequence": place, "kind": kind.value, "time_ns": time_ns, kind.value: event}


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but what was made anew."""
    found = (path for path in folder.rglob("*") if path.is_file() and "redone" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def provenance(folder: Path) -> Any:
    """`redone` of a folder's provenance."""
    return json.loads((folder / "provenance.json").read_text())["redone"]
