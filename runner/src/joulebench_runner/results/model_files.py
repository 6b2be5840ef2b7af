"""Which model file it was, so that the same one can be told again."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue


def describe(files: Mapping[str, Path]) -> dict[str, JsonValue]:
    """Name, size and SHA-256 of each file, by the alias that it was served under."""
    return {alias: describe_file(path) for alias, path in files.items()}


def describe_file(path: Path) -> dict[str, JsonValue]:
    """Name, size in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
