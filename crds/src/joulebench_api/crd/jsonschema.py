"""Structural schemas -> JSON Schemas (draft 2020-12), for editors and for checks without an API server."""

from collections.abc import Mapping, Sequence
from typing import Any

from joulebench_api.crd.definition import GROUP, VERSION, object_schema
from joulebench_api.crd.kinds import Kind
from joulebench_api.crd.structural import INT_OR_STRING, OPEN, Schema, structural
from joulebench_api.v1alpha1.base import ApiModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KEPT = (
    "type",
    "description",
    "default",
    "enum",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
)
_UNKNOWN_FORMATS = ("int32", "int64")
_INT_BOUNDS = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def of_kind(kind: Kind) -> Schema:
    """The JSON Schema of a kind's documents: strict about unknown fields; status and foreign metadata are let be."""
    schema = from_structural(object_schema(kind))
    properties = schema["properties"] | {
        "apiVersion": {"const": f"{GROUP}/{VERSION}"},
        "kind": {"const": kind.name},
        "metadata": {"type": "object", "description": "Standard metadata of Kubernetes; `name` is needed."},
        "status": {"type": "object", "description": "Written by the operator."},
    }
    return (
        {"$schema": DIALECT, "title": kind.name}
        | schema
        | {
            "properties": properties,
            "required": ["apiVersion", "kind", "metadata", "spec"],
        }
    )


def of_file(model: type[ApiModel]) -> Schema:
    """The JSON Schema of a file that is no object of the cluster, such as the operator's configuration."""
    return {"$schema": DIALECT, "title": model.__name__} | from_structural(structural(model))


def dispatching(kinds: Sequence[Kind]) -> Schema:
    """One schema for files that hold any of the kinds: the kind decides which schema holds."""
    return {
        "$schema": DIALECT,
        "title": "joulebench",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"kind": {"enum": [kind.name for kind in kinds]}},
        "allOf": [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind.name}}},
                "then": {"$ref": f"{kind.name}.json"},
            }
            for kind in kinds
        ],
    }


def from_structural(schema: Mapping[str, Any]) -> Schema:
    """The same schema in JSON Schema; the API server's own rules (CEL, list types) have no place in it."""
    converted = {key: schema[key] for key in _KEPT if key in schema}
    if converted.get("format") in _UNKNOWN_FORMATS:
        low, high = _INT_BOUNDS[converted.pop("format")]
        converted = {"minimum": low, "maximum": high} | converted
    if schema.get(INT_OR_STRING):
        converted["type"] = ["integer", "string"]
    if schema.get("x-kubernetes-list-type") == "set":
        converted["uniqueItems"] = True
    if "items" in schema:
        converted["items"] = from_structural(schema["items"])
    if "properties" in schema:
        converted["properties"] = {name: from_structural(inner) for name, inner in schema["properties"].items()}
    if "additionalProperties" in schema:
        converted["additionalProperties"] = from_structural(schema["additionalProperties"])
    elif schema.get("type") == "object" and not schema.get(OPEN) and "properties" in schema:
        converted["additionalProperties"] = False
    return converted
