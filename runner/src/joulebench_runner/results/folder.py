"""A results folder as its readers open it: what it lacks and what it cannot be read with is said at once, in words."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import JsonValue, ValidationError

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.summary import Summary
from joulebench_runner.config import DriverSettings, MeterSettings
from joulebench_runner.errors import BadInputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from joulebench_runner.results.tables import Journal

# pyarrow takes longer to import than `joulebench --help` may take, so it is imported where it is used.

SUMMARY, PROVENANCE, JOURNAL = "summary.json", "provenance.json", "journal"
QUERIES, TURNS, ENERGY = "queries.parquet", "turns.parquet", "energy.parquet"
NEEDED: Final = (PROVENANCE, QUERIES, TURNS, ENERGY)
"""Files that every run writes beside its summary."""

_Settings = TypeVar("_Settings", MeterSettings, DriverSettings)

_NAME_A_RUN = "Name a results folder, such as one that `joulebench run` has written."


@dataclass(frozen=True)
class RunFolder:
    """A run that was opened. What is read here raises BadInputError that names the file."""

    path: Path
    summary: Summary
    provenance: dict[str, JsonValue]
    problems: Sequence[str] = ()
    """What is missing, in words; only a folder that was opened as `partial` has any."""

    def has(self, name: str) -> bool:
        """Whether a file lies there."""
        return (self.path / name).is_file()

    def parquet(self, name: str) -> "pq.ParquetFile":
        """A Parquet file, opened; nothing but its footer is read."""
        import pyarrow as pa  # noqa: PLC0415 - see above
        import pyarrow.parquet as pq  # noqa: PLC0415 - see above

        path = self.path / name
        try:
            file = pq.ParquetFile(path)
        except FileNotFoundError as error:
            raise _missing(self.path, [name]) from error
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        _check_version(self.path, name, _parquet_version(file), self.provenance)
        return file

    def table(self, name: str, *, columns: Sequence[str] | None = None) -> "pa.Table":
        """A whole table, or some of its columns."""
        import pyarrow as pa  # noqa: PLC0415 - see above

        file = self.parquet(name)
        try:
            return file.read(None if columns is None else list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path / name, error) from error

    def batches(self, name: str, *, columns: Sequence[str], rows: int = 4096) -> "Iterator[pa.RecordBatch]":
        """A table piece by piece, for columns that are too large to have in memory at once."""
        import pyarrow as pa  # noqa: PLC0415 - see above

        file = self.parquet(name)
        try:
            yield from file.iter_batches(batch_size=rows, columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path / name, error) from error

    @cached_property
    def meter_settings(self) -> MeterSettings:
        """What the run's meter was told; its `run_dir` is where the folder lies now."""
        return self._settings("meter.json", MeterSettings).model_copy(update={"run_dir": self.path})

    @cached_property
    def driver_settings(self) -> DriverSettings:
        """What the run's driver was told, likewise."""
        return self._settings("driver.json", DriverSettings).model_copy(update={"run_dir": self.path})

    def _settings(self, name: str, kind: type[_Settings]) -> _Settings:
        path = self.path / "settings" / name
        try:
            return kind.read(path)
        except FileNotFoundError as error:
            raise _missing(self.path, [f"settings/{name}"]) from error
        except (ValidationError, OSError) as error:
            raise _unreadable(path, error) from error

    def journal(self) -> "Journal":
        """The whole journal in memory. BadInputError where there is none, JournalError where it cannot be read."""
        from joulebench_runner.results.united import whole_journal  # noqa: PLC0415 - see above

        if not (self.path / JOURNAL).is_dir():
            raise _missing(self.path, [f"{JOURNAL}/"])
        return whole_journal(self.path)


def open_run(path: Path, *, partial: bool = False) -> RunFolder:
    """Open a results folder. BadInputError where it is none, was written by a newer joulebench, or lacks something;
    with `partial` what it lacks is listed in `problems` instead (a summary there must be).
    """
    summary = _json(path, SUMMARY)
    provenance = _json(path, PROVENANCE) if (path / PROVENANCE).exists() else {}
    _check_version(path, SUMMARY, summary.get("schema_version"), provenance)
    _check_version(path, PROVENANCE, provenance.get("schema_version", SCHEMA_VERSION), provenance)
    missing = [name for name in NEEDED if not (path / name).is_file()] + missing_segments(path)
    if missing and not partial:
        raise _missing(path, missing)
    return RunFolder(path, _summary(path, summary), provenance, [f"{name} is missing" for name in missing])


def missing_segments(path: Path) -> list[str]:
    """The journal's segments that should lie in a results folder and do not. Without any there is nothing to miss:
    the results can be read without their journal."""
    from joulebench_runner.journal.names import shard_folders  # noqa: PLC0415 - see above

    folders = [path / JOURNAL, *shard_folders(path / JOURNAL).values()]
    return [name for folder in folders for name in _gaps(folder, path)]


def _gaps(folder: Path, path: Path) -> list[str]:
    from joulebench_runner.journal.names import SEGMENT_SUFFIX  # noqa: PLC0415 - see above
    from joulebench_runner.journal.writer import segment_numbers  # noqa: PLC0415 - see above

    numbers = segment_numbers(folder)
    gaps = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
    return [f"{folder.relative_to(path).as_posix()}/{number:08d}{SEGMENT_SUFFIX}" for number in gaps]


def _json(folder: Path, name: str) -> dict[str, JsonValue]:
    try:
        found = json.loads((folder / name).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_run(folder) from error
    except (ValueError, OSError) as error:
        raise _unreadable(folder / name, error) from error
    if not isinstance(found, dict):
        raise _unreadable(folder / name, TypeError("not a JSON object"))
    return found


def _no_run(folder: Path) -> BadInputError:
    if not folder.is_dir():
        return BadInputError(f"there is no folder {folder}", remedy=_NAME_A_RUN)
    if (folder / JOURNAL).is_dir():
        return BadInputError(
            f"{folder} has a journal, but no {SUMMARY}: its run has not ended, or was killed",
            remedy="Wait for its end, or start the same `joulebench run` again with this folder as --out: it goes on.",
        )
    return BadInputError(f"{folder} is no results folder: it has no {SUMMARY}", remedy=_NAME_A_RUN)


def _summary(folder: Path, found: dict[str, JsonValue]) -> Summary:
    try:
        return Summary.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"{folder / SUMMARY}: {field}: {first['msg']}") from error


def _check_version(folder: Path, name: str, version: JsonValue, provenance: dict[str, JsonValue]) -> None:
    if not isinstance(version, int):
        raise BadInputError(f"{folder / name} has no schema_version, so it is not ours", remedy=_NAME_A_RUN)
    if version > SCHEMA_VERSION:
        raise BadInputError(
            f"{folder / name} has schema version {version}; this joulebench reads versions up to {SCHEMA_VERSION}",
            remedy=f"Read it with {_writer(provenance)} or newer.",
        )


def _writer(provenance: dict[str, JsonValue]) -> str:
    versions = provenance.get("versions")
    version = versions.get("joulebench-runner") if isinstance(versions, dict) else None
    return f"joulebench {version}, which wrote it," if version else "the joulebench that wrote it"


def _parquet_version(file: "pq.ParquetFile") -> int | None:
    from joulebench_runner.results.schema import META_SCHEMA_VERSION  # noqa: PLC0415 - see above

    text = (file.schema_arrow.metadata or {}).get(META_SCHEMA_VERSION, b"").decode()
    return int(text) if text.isdecimal() else None


def _missing(folder: Path, names: Sequence[str]) -> BadInputError:
    return BadInputError(
        f"{folder} lacks {', '.join(names)}",
        remedy="Copy the whole folder of the run, or use what there is with --partial.",
    )


def _unreadable(path: Path, error: Exception) -> BadInputError:
    return BadInputError(
        f"{path} cannot be read: {str(error).partition(chr(10))[0]}",
        remedy="It was cut off or damaged; copy it anew from where the run was written.",
    )
