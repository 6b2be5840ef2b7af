"""The base of all API objects: names, strictness, and rules that are told together with all other problems."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from joulebench_api.names import camel, joined, nearest
from joulebench_api.problems import RULE, Path
from joulebench_api.v1alpha1.rules import Rule, Violation

_T = TypeVar("_T")


class ApiModel(BaseModel):
    """Base of all API objects.

    Attributes are snake_case, fields of documents camelCase. Unknown fields are refused. A null stands for an absent
    field, as on the API server. `rules` look at what was written, not at the parsed object, so that they are told
    together with wrong values instead of after these were mended.
    """

    model_config = ConfigDict(
        alias_generator=camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        # One schema is built when a whole document is read, not one a class at import.
        defer_build=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    derived_from: ClassVar["type[ApiModel] | None"] = None
    """The type that this one was made from (see `joulebench_api.v1alpha1.derived`); its fields' docstrings hold."""

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, Mapping):
            return handler(data)
        aliases = {name: field.alias or name for name, field in cls.model_fields.items()}
        fields = list(aliases.values())
        given = {key: value for key, value in data.items() if value is not None and (key in aliases or key in fields)}
        unknown = {key: nearest(str(key), fields) for key in data if key not in aliases and key not in fields}
        # A misspelt field counts as given, so that it is not also told to be missing.
        meant = {name: data[key] for key, name in unknown.items() if name is not None}
        written = meant | {aliases.get(key, key): value for key, value in given.items()}
        violations = [_unknown(key, meant=name, fields=fields) for key, name in unknown.items()]
        broken = (violation for rule in cls.rules for violation in rule(written))
        violations += (violation for violation in broken if not {*violation.path[:1]} & meant.keys())
        return _validated(cls.__name__, given, handler, violations, misspelt=meant.keys())


def _unknown(key: Any, *, meant: str | None, fields: Sequence[str]) -> Violation:
    remedy = f"the fields here are {joined(sorted(fields))}" if meant is None else f"did you mean '{meant}'?"
    return Violation(path=(str(key),), message="unknown field", remedy=remedy)


def _validated(
    title: str,
    given: Any,
    handler: Callable[[Any], _T],
    violations: Sequence[Violation],
    *,
    misspelt: Container[str],
) -> _T:
    try:
        value = handler(given)
    except ValidationError as error:
        if not violations:
            raise
        inner = (detail for detail in error.errors(include_url=False) if not _is_missing(detail, misspelt))
        details = [*map(_again, inner), *map(_detail, violations)]
        raise ValidationError.from_exception_data(title, details) from None
    if violations:
        raise refusal(*violations, title=title)
    return value


def _is_missing(error: Mapping[str, Any], names: Container[str]) -> bool:
    return error["type"] == "missing" and len(error["loc"]) == 1 and error["loc"][0] in names


def refusal(*violations: Violation, title: str = "value") -> ValidationError:
    """The error that a validator raises for broken rules; paths are relative to the value that it validates."""
    return ValidationError.from_exception_data(title, [_detail(violation) for violation in violations])


def _detail(violation: Violation) -> InitErrorDetails:
    context = {"message": violation.message}
    if violation.remedy is not None:
        context["remedy"] = violation.remedy
    # The text is pydantic's template: our message, braces and all, goes into it as a value.
    error = PydanticCustomError(RULE, "{message}", context)
    return InitErrorDetails(type=error, loc=violation.path, input=violation.value)


def _again(error: Mapping[str, Any]) -> InitErrorDetails:
    """An error that was raised inside, to be raised again beside others."""
    path: Path = error["loc"]
    context = error.get("ctx", {})
    if error["type"] != RULE:
        return InitErrorDetails(type=error["type"], loc=path, input=error["input"], ctx=context)
    return InitErrorDetails(type=PydanticCustomError(RULE, "{message}", context), loc=path, input=error["input"])
