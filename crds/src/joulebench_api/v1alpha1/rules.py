"""Rules between the fields of one object, each in two forms: for Python, and in CEL for the API server.

The Python form looks at what was written and can say what would be right; the CEL form stands in the CRD. Both refuse
the same objects. A rule that CEL cannot express says why.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from joulebench_api.names import joined
from joulebench_api.problems import Path, shown


@dataclass(frozen=True)
class Violation:
    """A broken rule. `path` is relative to the object that the rule belongs to."""

    path: Path
    message: str
    remedy: str | None = None
    value: Any = None


@dataclass(frozen=True)
class Cel:
    """One entry of `x-kubernetes-validations`: an expression that must be true, and what is said when it is not."""

    rule: str
    message: str
    field_path: str | None = None
    """Where the message points to, relative to the object, such as `.idleTimeout`."""

    def as_schema(self) -> dict[str, str]:
        """The entry as it stands in the CRD."""
        entry = {"rule": self.rule, "message": self.message}
        return entry if self.field_path is None else entry | {"fieldPath": self.field_path}


Check = Callable[[Mapping[str, Any]], Iterable[Violation]]
"""Takes the fields that are given (camelCase names, raw values, no nulls)."""


@dataclass(frozen=True)
class Rule:
    """A rule in both forms. Calling it checks the fields that are given."""

    check: Check
    cel: tuple[Cel, ...] = ()
    python_only: str | None = None
    """Why the API server cannot check this rule (or not all of it)."""

    def __post_init__(self) -> None:
        if not self.cel and self.python_only is None:
            raise ValueError("a rule needs its CEL form, or python_only with the reason why it has none")

    def __call__(self, given: Mapping[str, Any]) -> Iterable[Violation]:
        """The violations among the fields that are given."""
        return self.check(given)


@dataclass(frozen=True)
class OneOf(Rule):
    """A union: of these fields one may be given, or (`needed`) must be."""

    fields: tuple[str, ...] = ()
    needed: bool = True

    def among(self, present: Iterable[str], *, needed: bool) -> Self | None:
        """The same union over those of its fields that are present in another type; None when too few are left."""
        names = set(present)
        left = tuple(field for field in self.fields if field in names)
        if len(left) < (1 if needed else 2):
            return None
        return type(self)(
            check=_check_one_of(left, needed=needed),
            cel=(_cel_one_of(left, needed=needed),),
            fields=left,
            needed=needed,
        )


def exactly_one_of(*fields: str) -> OneOf:
    """One of the fields must be there, and only one."""
    return OneOf(
        check=_check_one_of(fields, needed=True), cel=(_cel_one_of(fields, needed=True),), fields=fields, needed=True
    )


def at_most_one_of(*fields: str) -> OneOf:
    """No two of the fields may be there."""
    return OneOf(
        check=_check_one_of(fields, needed=False),
        cel=(_cel_one_of(fields, needed=False),),
        fields=fields,
        needed=False,
    )


def _check_one_of(fields: tuple[str, ...], *, needed: bool) -> Check:
    def check(given: Mapping[str, Any]) -> Iterable[Violation]:
        found = [field for field in fields if field in given]
        if not found and needed:
            yield Violation(
                path=(),
                message=f"exactly one of {joined(fields)} is needed, found none",
                remedy=f"add {joined(fields, word='or')}",
            )
        if len(found) > 1:
            yield Violation(
                path=(),
                message=f"{_amount(needed)} one of {joined(fields)} may be given, found {joined(found)}",
                remedy="keep one of them",
            )

    return check


def _amount(needed: bool) -> str:
    return "exactly" if needed else "at most"


def _cel_one_of(fields: tuple[str, ...], *, needed: bool) -> Cel:
    given = [f"has(self.{field})" for field in fields]
    verb = "is needed" if needed else "may be given"
    return Cel(_counted(given, needed=needed), f"{_amount(needed)} one of {joined(fields)} {verb}")


def _counted(given: list[str], *, needed: bool) -> str:
    # No `[...].exists_one(x, x)`: the API server reckons far more for a list, which counts in lists of lists.
    if len(given) == 2:
        return " != ".join(given) if needed else f"!({' && '.join(given)})"
    number = " + ".join(f"({field} ? 1 : 0)" for field in given)
    return f"{number} == 1" if needed else f"{number} <= 1"


def only_with(field: str, other: str, *values: str, default: str | None = None) -> Rule:
    """`field` has a meaning only when `other` is there and, if values are named, has one of them."""
    condition = f"{other}: {joined(values, word='or')}" if values else other

    def check(given: Mapping[str, Any]) -> Iterable[Violation]:
        if field not in given:
            return
        actual = given.get(other, default)
        if actual is None or (values and actual not in values):
            yield Violation(
                path=(field,),
                message=f"is allowed only with {condition}",
                remedy=f"set {condition} or remove {field}",
                value=given[field],
            )

    met = f"has(self.{other})"
    if values:
        met += f" && self.{other} in [{', '.join(map(_quoted, values))}]"
    if default is not None and (not values or default in values):
        met = f"!has(self.{other}) || ({met})"
    return Rule(check, (Cel(f"!has(self.{field}) || ({met})", f"is allowed only with {condition}", f".{field}"),))


def escaped(name: str) -> str:
    """A field's name as CEL writes it on the API server: `api-key` -> `api__dash__key`."""
    for sign, word in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(sign, word)
    return name


def _quoted(value: str) -> str:
    return f"'{value}'"


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
    other = ".".join(map(str, second))

    def check(given: Mapping[str, Any]) -> Iterable[Violation]:
        value = field_of(given, *map(str, first))
        if value is not None and field_of(given, *map(str, second)) is not None:
            yield Violation(
                path=first, message=f"{shown(value)} is also given by {other}", remedy="keep one of them", value=value
            )

    both = " && ".join((_given(first), _given(second)))
    path = "." + ".".join(map(str, first))
    return Rule(check, (Cel(f"!({both})", f"is also given by {other}; keep one of them", path),))


def _given(path: Path) -> str:
    """CEL for `the field at this path is there`; a step may be absent."""
    steps = [".".join(map(str, path[: count + 1])) for count in range(len(path))]
    return " && ".join(f"has(self.{step})" for step in steps)
