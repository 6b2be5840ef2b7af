"""What is wrong with a document: where, what, and what would be right."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from joulebench_api.names import camel, did_you_mean, joined

Path = tuple[str | int, ...]
"""Keys and list indices from the document's root."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Position:
    """A place in a file (line and column count from 1), or an override, which has neither."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)


class Severity(StrEnum):
    """How much a problem matters."""

    ERROR = "error"
    """Refused."""
    WARNING = "warning"
    """Taken, but perhaps not what is wanted, or not everywhere."""
    NOTE = "note"
    """Nothing is wrong; said so that nobody wonders."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong (or, as a warning, unwise), with the field's path and value."""

    source: str
    line: int | None
    column: int | None
    path: str
    value: Any
    message: str
    remedy: str | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = str(Position(self.source, self.line, self.column))
        text = self.message if self.remedy is None else f"{self.message}; {self.remedy}"
        return ": ".join(part for part in (place, self.path, text) if part)


def problem_at(
    position: Position,
    path: Path,
    message: str,
    *,
    remedy: str | None = None,
    value: Any = None,
    severity: Severity = Severity.ERROR,
) -> Problem:
    """A problem at a position."""
    return Problem(
        source=position.source,
        line=position.line,
        column=position.column,
        path=path_text(path),
        value=value,
        message=message,
        remedy=remedy,
        severity=severity,
    )


def in_file_order(problem: Problem) -> tuple[bool, int, int]:
    """Sorts problems in the order of the file; what has no place comes last."""
    return problem.line is None, problem.line or 0, problem.column or 0


def path_text(path: Path) -> str:
    """`("spec", "load", "stages", 0)` -> `spec.load.stages[0]`; a key with dots is written `["a.b"]`."""
    return "".join(map(_step_text, path)).removeprefix(".")


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else f'["{step}"]'


def shown(value: Any) -> str:
    """A value as it is named in a message."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence):
        return "a list"
    return str(value)


# --- pydantic's error types, in our words -----------------------------------------------------------------------------

RULE = "joulebench_rule"
"""Type of the errors that our own rules raise; their context holds `message` and, if there is one, `remedy`."""

_Text = tuple[str, str | None]
_Translate = Callable[[Any, Mapping[str, Any], str], _Text]


def texts(error: Mapping[str, Any]) -> _Text:
    """Message and remedy for one of pydantic's error dictionaries. Pydantic's own words are never shown."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    last = str(error["loc"][-1]) if error["loc"] else ""
    translate = _TRANSLATIONS.get(kind)
    if translate is None:
        return f"{shown(value)} is not a valid value here", None
    return translate(value, context, last)


def _rule(_value: Any, context: Mapping[str, Any], _last: str) -> _Text:
    return str(context["message"]), context.get("remedy")


def _enum(value: Any, context: Mapping[str, Any], _last: str) -> _Text:
    allowed = re.findall(r"'([^']*)'", str(context["expected"]))
    hint = did_you_mean(value, allowed) if isinstance(value, str) else None
    return f"{shown(value)} is not one of {joined(allowed, word='or')}", hint


def _string(value: Any, _context: Mapping[str, Any], _last: str) -> _Text:
    quotable = isinstance(value, (bool, int, float))
    return f"must be text, found {shown(value)}", f'write it in quotes: "{shown(value)}"' if quotable else None


def _integer(value: Any, _context: Mapping[str, Any], _last: str) -> _Text:
    quoted = isinstance(value, str) and re.fullmatch(r"-?[0-9]+", value)
    return f"must be a whole number, found {shown(value)}", f"write it without quotes: {value}" if quoted else None


def _wanted(text: str) -> _Translate:
    return lambda value, _context, _last: (f"must be {text}, found {shown(value)}", None)


def _bound(words: str, key: str) -> _Translate:
    return lambda value, context, _last: (f"must be {words} {context[key]}, found {shown(value)}", None)


def _too_long(value: Any, context: Mapping[str, Any], _last: str) -> _Text:
    unit = "characters" if isinstance(value, str) else "entries"
    return f"has {len(value)} {unit}, at most {context['max_length']} are allowed", None


def _too_short(_value: Any, _context: Mapping[str, Any], _last: str) -> _Text:
    return "must not be empty", "give it a value or leave the field out"


_TRANSLATIONS: Mapping[str, _Translate] = {
    RULE: _rule,
    "missing": lambda _value, _context, _last: ("required, but missing", None),
    # Only a field written as in Python gets as far as this; all others are found by the models themselves.
    "extra_forbidden": lambda _value, _context, last: ("unknown field", f"did you mean '{camel(last)}'?"),
    "enum": _enum,
    "literal_error": _enum,
    "string_type": _string,
    "int_type": _integer,
    "int_from_float": _integer,
    "bool_type": _wanted("true or false"),
    "list_type": _wanted("a list"),
    "tuple_type": _wanted("a list"),
    "dict_type": _wanted("an object (fields with values)"),
    "model_type": _wanted("an object (fields with values)"),
    "greater_than": _bound("greater than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "too_long": _too_long,
    "string_too_long": _too_long,
    "too_short": _too_short,
    "string_too_short": _too_short,
}
