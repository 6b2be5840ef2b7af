"""Reads `assignment.json`, which an operator of another release may have written."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.assignment import Assignment
from joulebench_runner.errors import BadInputError

_REMEDY = "Use the runner of the operator's release, or remove spec.runner.image."


class IncompatibleError(BadInputError):
    """The assignment is of a release that this runner does not understand. `field`: where it stands in it."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"assignment.json: {field}: {what}", remedy=_REMEDY)
        self.field = field
        self.what = what


def read_assignment(path: Path) -> Assignment:
    """The assignment. Raises BadInputError if it cannot be read, IncompatibleError if it cannot be understood."""
    data = _read(path)
    version = data.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise IncompatibleError("schema_version", f"is {version!r}; this runner understands up to {SCHEMA_VERSION}")
    try:
        return Assignment.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise IncompatibleError(field.removeprefix("run."), first["msg"]) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInputError(
            f"cannot read the assignment {path}: {error.strerror or error}",
            remedy="Mount it there, or name another file with --assignment.",
        ) from error
    except ValueError as error:
        raise BadInputError(f"the assignment {path} is no JSON: {error}", remedy=_REMEDY) from error
    if not isinstance(data, dict):
        raise BadInputError(f"the assignment {path} is no JSON object", remedy=_REMEDY)
    return data
