"""`manifest.json` of a task's folder in a data root: which files were fetched, from what, and their hashes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from joulebench_runner.errors import BadInputError

MANIFEST: Final = "manifest.json"
SCHEMA_VERSION: Final = 1


def file_revision(path: Path) -> str:
    """`sha256:<hash>` of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a task's folder says of its files, by name; empty where there is no manifest (files put there by hand)."""
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise _unreadable(path, "it is no manifest")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise _unreadable(path, f"schema version {found.get('schema_version')}; this joulebench reads {SCHEMA_VERSION}")
    return dict(found["files"])


def _unreadable(path: Path, why: str) -> BadInputError:
    return BadInputError(f"{path} cannot be read: {why}", remedy="Fetch the task again with joulebench fetch.")


def manifest_entry(path: Path) -> dict[str, Any] | None:
    """What the manifest beside a file says of it; None for files that were put there by hand."""
    found = read_manifest(path.parent).get(path.name)
    return None if found is None else dict(found)


def check_fetched(path: Path, entry: Mapping[str, Any]) -> None:
    """Raise BadInputError if a file is not the one that was fetched."""
    if file_revision(path) != f"sha256:{entry.get('sha256')}":
        raise BadInputError(
            f"{path} is not the file that was fetched: its SHA-256 is not the one in {MANIFEST}",
            remedy="Fetch it again with joulebench fetch --force; to use a changed file, take it out of the manifest.",
        )


def add_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Note a file in the manifest beside it."""
    files = {**read_manifest(path.parent), path.name: dict(entry)}
    new = path.with_name(f".{MANIFEST}.new")
    new.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "files": files}, indent=2) + "\n")
    new.replace(path.with_name(MANIFEST))
