"""Where questions come from: a data root (one folder a task), or the Hugging Face hub at a pinned revision."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A data set on the hub, pinned."""

    id: str
    config: str | None
    split: str
    revision: str
    """Commit of the data set's repository."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a data set and where exactly they came from."""

    rows: list[dict[str, Any]]
    revision: str
    """A commit on the hub, or `sha256:<hash of the file>`."""
    origin: str


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file.

    Lines end with a line feed and nothing else: texts may hold other characters that Unicode calls line ends.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise _not_a_row(path, number, str(error)) from error
            if not isinstance(row, dict):
                raise _not_a_row(path, number, "not a JSON object")
            yield row


def _not_a_row(path: Path, number: int, what: str) -> BadInputError:
    return BadInputError(
        f"{path}, line {number}: {what}", remedy="The file must hold one JSON object a line (JSON Lines, UTF-8)."
    )


def file_revision(path: Path) -> str:
    """`sha256:<hash>` of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def load_rows(task: str, *, hub: HubSource, settings: TaskSettings, cache_dir: Path | None = None) -> Rows:
    """Rows of a task: from `<data root>/<task>/<split>.jsonl` if it is there, else from the hub."""
    source = HubSource(
        id=hub.id,
        config=settings.subset or hub.config,
        split=settings.split or hub.split,
        revision=settings.hub_revision or hub.revision,
    )
    if settings.data_root is not None:
        path = settings.data_root / task / f"{source.split}.jsonl"
        if path.is_file():
            return Rows(rows=list(read_jsonl(path)), revision=file_revision(path), origin=str(path))
    return _hub_rows(task, source, settings=settings, cache_dir=cache_dir)


def _hub_rows(task: str, source: HubSource, *, settings: TaskSettings, cache_dir: Path | None) -> Rows:
    if settings.hub_endpoint is not None:
        # Read when the hub's client is imported, so set before.
        os.environ["HF_ENDPOINT"] = settings.hub_endpoint
    token = os.environ.get(settings.hub_token_variable) if settings.hub_token_variable else None

    # 2.4 s, and not needed with a data root; the package has no types.
    from datasets import load_dataset  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        loaded = load_dataset(
            source.id,
            name=source.config,
            split=source.split,
            revision=source.revision,
            token=token,
            cache_dir=None if cache_dir is None else str(cache_dir),
        )
    # What the hub's clients raise when something is unreachable, unknown or forbidden: OSError (requests' and hub's
    # errors, ConnectionError, FileNotFoundError) and ValueError (unknown config or split, not cached while offline).
    except (OSError, ValueError) as error:
        raise _absent(task, source, settings=settings, error=error) from error
    return Rows(rows=[dict(row) for row in loaded], revision=source.revision, origin=f"hub:{source.id}")


def _absent(task: str, source: HubSource, *, settings: TaskSettings, error: Exception) -> BadInputError:
    if settings.data_root is None:
        where = "no data folder was given (--data)"
    else:
        where = f"{settings.data_root / task / f'{source.split}.jsonl'} does not exist"
    return BadInputError(
        f"task.name {task}: its questions are not here ({where}) and cannot be fetched from the hub "
        f"({source.id}, revision {source.revision}): {_first_line(error)}",
        remedy=fetch_advice(task, source),
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def fetch_advice(task: str, source: HubSource) -> str:
    """How to get the data beforehand, on a machine with a network, and where to put it."""
    file = f"DIR/{task}/{source.split}.jsonl"
    arguments = ", ".join(repr(argument) for argument in (source.id, source.config) if argument is not None)
    return (
        "Fetch it beforehand where there is a network:\n"
        f"  mkdir -p DIR/{task}\n"
        f'  python -c "from datasets import load_dataset; load_dataset({arguments}, split={source.split!r}, '
        f'revision={source.revision!r}).to_json({file!r})"\n'
        f"then run with --data DIR. DIR holds one folder a task; this one needs {file}, one JSON object a line."
    )


def require_columns(rows: list[dict[str, Any]], columns: Mapping[str, type], *, origin: str) -> None:
    """Check that every row has the columns a loader reads, with values of the right type."""
    for number, row in enumerate(rows, start=1):
        for name, kind in columns.items():
            if not isinstance(row.get(name), kind):
                raise BadInputError(
                    f"{origin}, row {number}: field {name!r} is {row.get(name)!r}, wanted {kind.__name__}",
                    remedy=f"The rows must have the fields {', '.join(columns)}.",
                )
