"""Rules between the fields of one object, as data: each will have its counterpart in the CRD's validation rules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joulebench_api.names import joined
from joulebench_api.problems import Path, shown


@dataclass(frozen=True)
class Violation:
    """A broken rule. `path` is relative to the object that the rule belongs to."""

    path: Path
    message: str
    remedy: str | None = None
    value: Any = None


Rule = Callable[[Mapping[str, Any]], Iterable[Violation]]
"""Takes the fields that are given (camelCase names, raw values, no nulls)."""


def exactly_one_of(*fields: str) -> Rule:
    """One of the fields must be there, and only one."""

    def rule(given: Mapping[str, Any]) -> Iterable[Violation]:
        found = [field for field in fields if field in given]
        if not found:
            yield Violation(
                path=(),
                message=f"exactly one of {joined(fields)} is needed, found none",
                remedy=f"add {joined(fields, word='or')}",
            )
        if len(found) > 1:
            yield _too_many(fields, found, "exactly")

    return rule


def at_most_one_of(*fields: str) -> Rule:
    """No two of the fields may be there."""

    def rule(given: Mapping[str, Any]) -> Iterable[Violation]:
        found = [field for field in fields if field in given]
        if len(found) > 1:
            yield _too_many(fields, found, "at most")

    return rule


def _too_many(fields: tuple[str, ...], found: list[str], words: str) -> Violation:
    return Violation(
        path=(),
        message=f"{words} one of {joined(fields)} may be given, found {joined(found)}",
        remedy="keep one of them",
    )


def only_with(field: str, other: str, *values: str, default: str | None = None) -> Rule:
    """`field` has a meaning only when `other` is there and, if values are named, has one of them."""

    def rule(given: Mapping[str, Any]) -> Iterable[Violation]:
        if field not in given:
            return
        actual = given.get(other, default)
        if actual is None or (values and actual not in values):
            condition = f"{other}: {joined(values, word='or')}" if values else other
            yield Violation(
                path=(field,),
                message=f"is allowed only with {condition}",
                remedy=f"set {condition} or remove {field}",
                value=given[field],
            )

    return rule


def field_of(value: Any, *names: str) -> Any:
    """A nested field (camelCase) of a raw mapping or of an API object; None where a step is missing."""
    for name in names:
        python_name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        if isinstance(value, Mapping):
            value = value.get(name, value.get(python_name))
        else:
            value = getattr(value, python_name, None)
    return value


def not_both(first: Path, second: Path) -> Rule:
    """Two fields, somewhere below, say the same thing; only one of them may be given."""

    def rule(given: Mapping[str, Any]) -> Iterable[Violation]:
        value = field_of(given, *map(str, first))
        if value is not None and field_of(given, *map(str, second)) is not None:
            other = ".".join(map(str, second))
            yield Violation(
                path=first, message=f"{shown(value)} is also given by {other}", remedy="keep one of them", value=value
            )

    return rule
