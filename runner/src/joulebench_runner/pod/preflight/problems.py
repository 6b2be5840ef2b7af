"""One thing that preflight found. Pure."""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from joulebench_api.conditions import Reason
from joulebench_api.v1alpha1 import BenchmarkRun
from joulebench_runner.errors import RunnerError

_FIELD: Final = re.compile(r"(?:spec\.)?(?P<path>(?:task|results)(?:\.\w+)+)(?P<colon>: )?")
"""The field that a message of the runner's begins with."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is not good. `passing`: it may be good at a later look, nothing is known now."""

    field: str
    reason: Reason
    message: str
    remedy: str | None = None
    value: JsonValue = None
    passing: bool = False


def field_of(error: RunnerError) -> str | None:
    """The field that an error's message begins with, if it does."""
    found = _FIELD.match(error.message)
    return None if found is None else f"spec.{found['path']}"


def problem_of(error: RunnerError, *, reason: Reason, field: str, run: BenchmarkRun, passing: bool = False) -> Problem:
    """An error as a finding, of the field that it names; `field`, if it names none."""
    found = _FIELD.match(error.message)
    # A field that is followed by its value is part of the sentence.
    named = found is not None and found["colon"] is not None
    place = field_of(error) or field
    return Problem(
        field=place,
        value=value_at(run, place),
        reason=reason,
        message=error.message[found.end() :] if found is not None and named else error.message,
        remedy=error.remedy,
        passing=passing,
    )


def value_at(run: BenchmarkRun, field: str) -> JsonValue:
    """What the run says at a path of names; None where it says nothing, or more than a plain value."""
    value: Any = run.model_dump(mode="json", exclude_none=True)
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str | int | float | bool) else None
