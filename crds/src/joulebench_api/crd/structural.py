"""API models -> structural schemas: no references, no unions but int-or-string, every bound and rule in place.

The schema is made from the models' own annotations, not from pydantic's JSON Schema, which is not structural.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from joulebench_api.crd.docstrings import class_text, field_text
from joulebench_api.names import camel
from joulebench_api.v1alpha1 import kubernetes
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListMap, ListSet
from joulebench_api.v1alpha1.kubernetes import DeclaredKeys
from joulebench_api.v1alpha1.numbers import INT32_MAX
from joulebench_api.v1alpha1.texts import Duration, Percent
from joulebench_api.v1alpha1.values import Form, ValueRule

Schema = dict[str, Any]

VALIDATIONS = "x-kubernetes-validations"
INT_OR_STRING = "x-kubernetes-int-or-string"
OPEN = "x-kubernetes-preserve-unknown-fields"

_INT64_MAX = 2**63 - 1
_MIN_KEYS: Mapping[str, str] = {"string": "minLength", "array": "minItems", "object": "minProperties"}
_MAX_KEYS: Mapping[str, str] = {"string": "maxLength", "array": "maxItems", "object": "maxProperties"}


def structural(model: type[ApiModel]) -> Schema:
    """The structural schema of a model."""
    schema: Schema = {"type": "object", **_described(_own_text(model))}
    properties = {_alias(name, field): field_schema(model, name) for name, field in model.model_fields.items()}
    if properties:
        schema["properties"] = properties
    required = [_alias(name, field) for name, field in model.model_fields.items() if field.is_required()]
    if required:
        schema["required"] = required
    rules = [cel.as_schema() for rule in model.rules for cel in rule.cel]
    return schema | ({VALIDATIONS: rules} if rules else {})


def _own_text(model: type[ApiModel]) -> str | None:
    # Kubernetes describes its own types.
    return None if model.__module__ == kubernetes.__name__ else class_text(model)


def _described(text: str | None) -> Schema:
    return {"description": text} if text else {}


def _alias(name: str, field: FieldInfo) -> str:
    return field.alias or camel(name)


def field_schema(model: type[ApiModel], name: str) -> Schema:
    """The structural schema of one field (by its attribute's name)."""
    field = model.model_fields[name]
    schema = of_annotation(field.annotation, field.metadata)
    schema |= _described(field_text(model, name))
    default = _default(field, schema)
    return schema if default is None else schema | {"default": default}


def _default(field: FieldInfo, schema: Schema) -> Any:
    """The default for the schema; None for none. An empty list or object is as good as an absent one."""
    if field.default_factory is not None:
        holds_defaults = any("default" in inner for inner in schema.get("properties", {}).values())
        return {} if holds_defaults else None
    value = field.default
    if value is PydanticUndefined or value is None or value == ():
        return None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    return [str(entry) for entry in value] if isinstance(value, tuple) else value


def of_annotation(annotation: Any, metadata: Sequence[Any] = ()) -> Schema:
    """The structural schema of a type; raises TypeError for one that has none, or that has no end."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return of_annotation(arguments[0], (*arguments[1:], *metadata))
    said = next((entry.json_schema for entry in reversed(metadata) if isinstance(entry, WithJsonSchema)), None)
    schema = _copied(said) if said is not None else _of_type(annotation, origin, arguments)
    for entry in metadata:
        schema = _with(schema, entry)
    if origin not in (Union, UnionType):
        _check_bounded(schema, annotation)
    return schema


def _copied(schema: Mapping[str, Any]) -> Schema:
    rules = schema.get(VALIDATIONS)
    return dict(schema) | ({VALIDATIONS: list(rules)} if rules else {})


def _of_type(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Schema:
    if origin in (Union, UnionType):
        inner = [argument for argument in arguments if argument is not NoneType]
        if len(inner) == 1:
            return of_annotation(inner[0])
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "x-kubernetes-list-type": "atomic", "items": of_annotation(arguments[0])}
    if origin is dict:
        return _of_mapping(arguments[1])
    if isinstance(annotation, type):
        return _of_class(annotation)
    raise TypeError(f"{annotation} has no structural schema; add WithJsonSchema to it")


def _of_mapping(value: Any) -> Schema:
    if value is Any:
        return {"type": "object", OPEN: True}
    return {"type": "object", "additionalProperties": of_annotation(value)}


_PLAIN: Mapping[type, Mapping[str, str]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    str: {"type": "string"},
}


def _of_class(annotation: type) -> Schema:
    if issubclass(annotation, ApiModel):
        return structural(annotation)
    if issubclass(annotation, Enum):
        return {"type": "string", "enum": [member.value for member in annotation]}
    if issubclass(annotation, Duration | Percent):
        return {"type": "string", "pattern": annotation.pattern(), "maxLength": 32}
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    raise TypeError(f"{annotation.__name__} has no structural schema; add WithJsonSchema to it")


def _with(schema: Schema, entry: Any) -> Schema:
    """The schema with what one annotation adds to it."""
    if isinstance(entry, FieldInfo):
        return reduce(_with, entry.metadata, schema)
    if isinstance(entry, Le):
        return _with_maximum(schema, entry.le)
    if isinstance(entry, ValueRule):
        rules = [*schema.get(VALIDATIONS, []), *(rule.as_schema() for rule in entry.cel)]
        return schema | {VALIDATIONS: rules}
    return schema | _added(schema, entry)


def _added(schema: Schema, entry: Any) -> Schema:
    added: Schema = {}
    match entry:
        case Ge(ge=low) if low != -_INT64_MAX - 1:
            added = {"minimum": low}
        case MinLen(min_length=least):
            added = {_MIN_KEYS[schema["type"]]: least}
        case MaxLen(max_length=most):
            added = {_MAX_KEYS[schema["type"]]: most}
        case Form(pattern=pattern) if INT_OR_STRING not in schema:
            added = {"pattern": pattern}
        case ListSet():
            added = {"x-kubernetes-list-type": "set"}
        case ListMap(keys=keys):
            names = [camel(key) for key in keys]
            added = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": names}
        case DeclaredKeys(keys=keys):
            added = {"properties": {key: {INT_OR_STRING: True} for key in keys}}
    return added


def _with_maximum(schema: Schema, high: Any) -> Schema:
    # The largest numbers of a format need no bound, and 2^63 - 1 cannot be written as a float, which bounds are.
    if high == _INT64_MAX:
        return schema
    return schema | {"maximum": high} | ({"format": "int32"} if high == INT32_MAX else {})


def _check_bounded(schema: Schema, annotation: Any) -> None:
    """Lists and maps must end somewhere, or the API server cannot reckon what a rule may cost."""
    endless = (schema.get("type") == "array" and "maxItems" not in schema) or (
        "additionalProperties" in schema and "maxProperties" not in schema
    )
    if endless:
        raise TypeError(f"{annotation} has no bound; add Field(max_length=...) to it")
