"""One document -> one object, and everything that is wrong with it."""

import decimal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from joulebench_api.merging.shapes import Form, Shape, shapes
from joulebench_api.problems import Path, Problem, Severity, problem_at, texts
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.decimals import decimal_text
from joulebench_api.yaml_tree import Document

_Model = TypeVar("_Model", bound=ApiModel)


@dataclass(frozen=True)
class Read(Generic[_Model]):
    """What a document holds: the object, unless there are problems."""

    value: _Model | None
    problems: list[Problem]
    warnings: list[Problem]


def read_object(model: type[_Model], document: Document) -> Read[_Model]:
    """Read a document as an object of a kind."""
    warnings = list(_unquoted_decimals(document, document.data, Shape(Form.OBJECT, model), ()))
    try:
        # Only the fields' own spelling counts in a document, not the attributes'.
        value = model.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = [_problem(document, detail) for detail in error.errors(include_url=False)]
        return Read(value=None, problems=problems, warnings=warnings)
    return Read(value=value, problems=[], warnings=warnings)


def dig(data: Any, path: Path) -> Any:
    """The value at a path; None where there is none."""
    for step in path:
        if isinstance(data, dict) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


def _problem(document: Document, error: Any) -> Problem:
    path = tuple(error["loc"])
    message, remedy = texts(error)
    about_key = error["type"] in {"missing", "extra_forbidden"} or message == "unknown field"
    position = document.key_position(path) if about_key else document.value_position(path)
    return problem_at(position, path, message, remedy=remedy, value=dig(document.data, path))


def _unquoted_decimals(document: Document, raw: Any, shape: Shape, path: Path) -> Iterator[Problem]:
    """Decimals that were written as YAML floats: fine here, refused by a cluster."""
    if shape.form is Form.DECIMAL and isinstance(raw, float):
        position = document.value_position(path)
        # An override is for this machine alone.
        if position.line is not None:
            text = decimal_text(decimal.Decimal(str(raw)))
            message = f"a cluster refuses {text} without quotes"
            yield problem_at(position, path, message, remedy=f'write "{text}"', value=raw, severity=Severity.WARNING)
    elif shape.model is not None and isinstance(raw, Mapping):
        fields = shapes(shape.model)
        for name in raw.keys() & fields.keys():
            yield from _unquoted_decimals(document, raw[name], fields[name], (*path, name))
    elif shape.entry is not None and isinstance(raw, list | Mapping):
        for step, each in raw.items() if isinstance(raw, Mapping) else enumerate(raw):
            yield from _unquoted_decimals(document, each, shape.entry, (*path, step))
