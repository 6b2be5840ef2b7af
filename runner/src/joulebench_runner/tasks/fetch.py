"""Fills a data root: a task's questions from the hub at the pinned revision, as JSON Lines, with their hashes."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError, RunnerError
from joulebench_runner.tasks.data import HubSource, chosen_source, file_name, hub_rows
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.manifest import add_entry, check_fetched, file_revision, manifest_entry
from joulebench_runner.tasks.registry import InspectTask

TOKEN_VARIABLE: Final = "HF_TOKEN"  # noqa: S105 - a name
OnRows = Callable[[str, Iterable[dict[str, Any]], int], Iterable[dict[str, Any]]]
"""(task, rows, how many) -> the same rows, while somebody watches."""


class HubAwayError(BadInputError):
    """The hub cannot be asked now; a later try may go better."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What became of one task."""

    task: str
    state: Literal["fetched", "already there", "made here"]
    path: Path | None = None
    rows: int | None = None
    sha256: str | None = None
    source: dict[str, Any] | None = None


def fetch(
    task: TaskEntry | InspectTask,
    *,
    root: Path,
    settings: TaskSettings,
    force: bool = False,
    on_rows: OnRows = lambda _task, rows, _count: rows,
) -> Fetched:
    """Write `<root>/<task>/<split>.jsonl` and its line in the manifest. BadInputError says exactly what to do.

    A file that is there, whole and of the wanted revision, is left alone.
    """
    if isinstance(task, InspectTask):
        raise BadInputError(
            f"{task.name}: its package loads its data by itself, into the hub's own cache",
            remedy=f"Run it once where there is a network, with HF_HOME=DIR; afterwards set HF_HOME=DIR and "
            f"HF_HUB_OFFLINE=1: joulebench run with spec.task.name={task.name} and spec.task.limit=1.",
        )
    if task.hub is None:
        return Fetched(task=task.key, state="made here")
    source = chosen_source(task.hub, settings)
    path = root / task.key / file_name(source)
    known = None if force else _there(path, source)
    if known is not None:
        return Fetched(task=task.key, state="already there", path=path, **known)
    return _fetch(task, source, path, settings, on_rows)


def _there(path: Path, source: HubSource) -> dict[str, Any] | None:
    entry = manifest_entry(path) if path.is_file() else None
    if entry is None:
        if path.exists():
            raise BadInputError(f"{path} is there already, put there by hand", remedy="Give --force to replace it.")
        return None
    check_fetched(path, entry)
    told = {name: entry[name] for name in ("rows", "sha256", "source")}
    return told if told["source"] == _source(source) else None


def _source(source: HubSource) -> dict[str, Any]:
    return {"hub": source.id, "config": source.config, "split": source.split, "revision": source.revision}


def _fetch(task: TaskEntry, source: HubSource, path: Path, settings: TaskSettings, on_rows: OnRows) -> Fetched:
    # A branch is what its commit is now.
    source = replace(source, revision=_commit(task.key, source, settings))
    rows = hub_rows(task.key, source, settings=settings, cache_dir=None).rows
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        with new.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(on_rows(task.key, rows, len(rows))))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        digest = file_revision(path).removeprefix("sha256:")
        add_entry(
            path,
            {
                "sha256": digest,
                "bytes": path.stat().st_size,
                "rows": len(rows),
                "licence": task.licence,
                "fetched_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                "source": _source(source),
            },
        )
    except OSError as error:
        raise RunnerError(
            f"cannot write {path}: {error.strerror or error}", remedy="Name a folder that can be written with --to."
        ) from error
    return Fetched(task=task.key, state="fetched", path=path, rows=len(rows), sha256=digest, source=_source(source))


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _commit(task: str, source: HubSource, settings: TaskSettings) -> str:
    """The commit that a revision names. Asks first whether we may read the set at all: when its files are read, a gated
    set and a missing one look alike."""
    if settings.hub_endpoint is not None:
        os.environ["HF_ENDPOINT"] = settings.hub_endpoint
    from huggingface_hub import HfApi, constants  # noqa: PLC0415 - seconds
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # noqa: PLC0415 - see above
        GatedRepoError,
        HTTPError,  # of the library that this version of the hub's client is made with
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    endpoint = settings.hub_endpoint or constants.ENDPOINT
    page = f"{endpoint}/datasets/{source.id}"
    api = HfApi(endpoint=endpoint, token=os.environ.get(settings.hub_token_variable or TOKEN_VARIABLE))
    try:
        api.auth_check(source.id, repo_type="dataset")
        return str(api.dataset_info(source.id, revision=source.revision, timeout=30).sha)
    except GatedRepoError as error:
        raise BadInputError(
            f"{task}: the data set {source.id} is gated, and this account has not been let in",
            remedy=f"Accept its licence at {page}, make a token with read access at {endpoint}/settings/tokens, then "
            f"export {TOKEN_VARIABLE}=hf_... and fetch again.",
        ) from error
    except RevisionNotFoundError as error:
        raise BadInputError(
            f"{task}: the data set {source.id} has no revision {source.revision}",
            remedy=f"See {page}/commits/main, and name one with --revision.",
        ) from error
    except RepositoryNotFoundError as error:
        raise BadInputError(
            f"{task}: the hub has no data set {source.id}, or does not show it to this account",
            remedy=f"Open {page}; for a private set export {TOKEN_VARIABLE}=hf_... and fetch again.",
        ) from error
    # Everything else that hides the hub: no network, no name, a time limit, a broken proxy, offline mode.
    except (OSError, HTTPError) as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise HubAwayError(
            f"{task}: the hub at {endpoint} cannot be asked: {reason}",
            remedy="Fetch on a machine with a network and copy the folder; --endpoint names a mirror.",
        ) from error
