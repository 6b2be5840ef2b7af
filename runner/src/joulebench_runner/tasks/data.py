"""Where questions come from: a data root (one folder a task), or the Hugging Face hub at a pinned revision."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.manifest import check_fetched, file_revision, manifest_entry


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


def load_rows(task: str, *, hub: HubSource, settings: TaskSettings, cache_dir: Path | None = None) -> Rows:
    """Rows of a task: from `<data root>/<task>/<split>.jsonl` if it is there, else from the hub."""
    source = chosen_source(hub, settings)
    if settings.data_root is not None:
        path = settings.data_root / task / file_name(source)
        if path.is_file():
            return _local_rows(path, settings)
    if settings.offline:
        raise _absent(task, source, settings=settings, why="must not be fetched from the hub")
    return hub_rows(task, source, settings=settings, cache_dir=cache_dir)


def chosen_source(hub: HubSource, settings: TaskSettings) -> HubSource:
    """A task's own source with what the run says in place of it."""
    return HubSource(
        id=hub.id,
        config=settings.subset or hub.config,
        split=settings.split or hub.split,
        revision=settings.hub_revision or hub.revision,
    )


def file_name(source: HubSource) -> str:
    """Of a split in a task's folder."""
    return f"{source.split}.jsonl"


def _local_rows(path: Path, settings: TaskSettings) -> Rows:
    """The rows of a file; one that was fetched counts as what it was fetched from, once its hash was found right."""
    rows, entry = list(read_jsonl(path)), manifest_entry(path)
    if entry is None:
        return Rows(rows=rows, revision=file_revision(path), origin=str(path))
    check_fetched(path, entry)
    wanted = {"revision": settings.hub_revision, "config": settings.subset}
    for name, value in wanted.items():
        if value is not None and value != entry["source"][name]:
            raise BadInputError(
                f"{path} is of {name} {entry['source'][name]!r}, but the run wants {value!r}",
                remedy="Fetch the one that is wanted into another folder.",
            )
    return Rows(rows=rows, revision=entry["source"]["revision"], origin=f"hub:{entry['source']['hub']}")


def hub_rows(task: str, source: HubSource, *, settings: TaskSettings, cache_dir: Path | None) -> Rows:
    """Rows from the hub, through its own library. BadInputError where they cannot be had."""
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
        why = f"cannot be fetched from the hub ({source.id}, revision {source.revision}): {_first_line(error)}"
        raise _absent(task, source, settings=settings, why=why) from error
    return Rows(rows=[dict(row) for row in loaded], revision=source.revision, origin=f"hub:{source.id}")


def _absent(task: str, source: HubSource, *, settings: TaskSettings, why: str) -> BadInputError:
    if settings.data_root is None:
        where = "no data folder was given (--data)"
    else:
        where = f"{settings.data_root / task / f'{source.split}.jsonl'} does not exist"
    return BadInputError(
        f"task.name {task}: its questions are not here ({where}) and {why}",
        remedy=fetch_advice(task, source),
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def fetch_advice(task: str, source: HubSource) -> str:
    """How to get the data beforehand, on a machine with a network, and where to put it."""
    return (
        "Fetch it beforehand where there is a network:\n"
        f"  joulebench fetch {task} --split {source.split} --to DIR\n"
        f"then run with --data DIR. DIR holds one folder a task; this one needs {task}/{file_name(source)}, one JSON "
        "object a line."
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
