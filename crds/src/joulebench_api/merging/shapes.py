"""What merging must know of a type: which fields are objects, lists or open, and which belong to one union."""

import decimal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from functools import cache
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.rules import OneOf


class Form(StrEnum):
    """How a field's value is built."""

    OBJECT = auto()
    """Fields that joulebench knows: a null stands for an absent field."""
    OPEN = auto()
    """Fields that joulebench does not know: a null is a value like others."""
    MAP = auto()
    """Names of the user's own, each with a value of one known form."""
    LIST = auto()
    DECIMAL = auto()
    VALUE = auto()


@dataclass(frozen=True)
class Shape:
    """One field."""

    form: Form
    model: type[ApiModel] | None = None
    """Of an object."""
    entry: "Shape | None" = None
    """Of the entries of a list or map."""


OPEN = Shape(Form.OPEN)
VALUE = Shape(Form.VALUE)


@cache
def shapes(model: type[ApiModel]) -> Mapping[str, Shape]:
    """The fields of a type by their names in documents."""
    return MappingProxyType({name: _shape(field.annotation) for name, field in _fields(model)})


def defaults(model: type[ApiModel]) -> Iterator[tuple[str, Any]]:
    """The schema's defaults: (field's name in documents, value as Python holds it)."""
    for name, field in _fields(model):
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if default is not None:
            yield name, default


@cache
def displaced(model: type[ApiModel], name: str) -> frozenset[str]:
    """The fields that give way when a higher layer says `name`: the others of its union, and what belongs to them."""
    unions = [rule.fields for rule in model.rules if isinstance(rule, OneOf) and name in rule.fields]
    others = {other for union in unions for other in union} - {name}
    fields = shapes(model)
    companions = {companion for other in others for companion in _COMPANIONS.get(other, ())}
    return frozenset((others | companions | set(_EXCLUDED.get(name, ()))) & fields.keys() - {name})


_COMPANIONS: Mapping[str, tuple[str, ...]] = {
    "modelServerRef": ("access",),
    "url": ("headersSecretRef",),
    "image": ("args", "env"),
}
"""Fields that have a meaning only with a field of a union, and go when it goes."""

_EXCLUDED: Mapping[str, tuple[str, ...]] = {"load": ("concurrency", "epochs", "judge")}
"""What a field excludes beside its union: a benchmark under load must not fail for the defaults of scored ones."""


def _fields(model: type[ApiModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((field.alias or name, field) for name, field in model.model_fields.items())


def _shape(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return Shape(Form.OBJECT, annotation)
    if annotation is decimal.Decimal:
        return Shape(Form.DECIMAL)
    if origin is dict:
        return OPEN if arguments[1] is Any else Shape(Form.MAP, entry=_shape(arguments[1]))
    if origin is tuple:
        return Shape(Form.LIST, entry=_shape(arguments[0]))
    if hasattr(annotation, "__metadata__"):
        return _shape(annotation.__origin__)
    # A union of types: the first that is more than a plain value, such as the X of `X | None`.
    found = (_shape(argument) for argument in arguments if isinstance(argument, type) or get_args(argument))
    return next((shape for shape in found if shape.form is not Form.VALUE), VALUE)
