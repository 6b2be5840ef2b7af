"""A kind -> its CustomResourceDefinition."""

from typing import Any

from joulebench_api.crd.docstrings import class_text
from joulebench_api.crd.kinds import Column, Kind
from joulebench_api.crd.structural import VALIDATIONS, Schema, of_annotation, structural
from joulebench_api.v1alpha1.texts import DNS_1035_PATTERN

GROUP = "joulebench.dev"
VERSION = "v1alpha1"
CATEGORY = "joulebench"


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _told_once(object_schema(kind))},
        "subresources": _subresources(kind),
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
    }


def _subresources(kind: Kind) -> dict[str, Any]:
    if not kind.scales:
        return {"status": {}}
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return {"status": {}, "scale": scale}


def _column(column: Column) -> dict[str, Any]:
    described = {"description": column.description} if column.description else {}
    lower = {"priority": column.priority} if column.priority else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, **described, **lower}


def object_schema(kind: Kind) -> Schema:
    """The structural schema of whole objects of a kind."""
    return {
        "type": "object",
        "description": class_text(kind.model),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            # The API server checks metadata itself; only the name can be bounded here, by a rule.
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": spec_schema(kind),
            "status": structural(kind.status),
        },
        VALIDATIONS: [_name_rule(kind)],
    }


def _told_once(schema: Schema) -> Schema:
    """The schema without the descriptions of fields that `spec.defaults` has told already.

    A campaign's overlays are the same four times; a CRD that is too large cannot be applied by `kubectl apply`.
    """
    properties = schema["properties"]["spec"]["properties"]
    told = properties.get("defaults", {}).get("properties", {})
    told_once = {name: _entries_told_once(inner, told) for name, inner in properties.items()}
    spec = schema["properties"]["spec"] | {"properties": told_once}
    return schema | {"properties": schema["properties"] | {"spec": spec}}


def _entries_told_once(schema: Schema, told: Schema) -> Schema:
    fields = schema.get("items", {}).get("properties", {})
    if not told or not fields:
        return schema
    again = {name: _undescribed(inner) if told.get(name) == inner else inner for name, inner in fields.items()}
    return schema | {"items": schema["items"] | {"properties": again}}


def _undescribed(schema: Schema) -> Schema:
    bare = {key: value for key, value in schema.items() if key != "description"}
    for key in ("items", "additionalProperties"):
        if key in bare:
            bare[key] = _undescribed(bare[key])
    if "properties" in bare:
        bare["properties"] = {name: _undescribed(inner) for name, inner in bare["properties"].items()}
    return bare


def spec_schema(kind: Kind) -> Schema:
    """The structural schema of the spec, the rule about its change included."""
    schema = structural(kind.spec)
    if kind.immutability is None:
        return schema
    return schema | {VALIDATIONS: [*schema.get(VALIDATIONS, []), kind.immutability.cel.as_schema()]}


def _name_rule(kind: Kind) -> dict[str, str]:
    name = _metadata(kind).model_fields["name"]
    longest = of_annotation(name.annotation, name.metadata)["maxLength"]
    return {
        "rule": f"self.metadata.name.size() <= {longest} && self.metadata.name.matches('{DNS_1035_PATTERN}')",
        "message": f"a name has at most {longest} lower-case letters, digits and '-', begins with a letter and does"
        " not end with '-'",
        "fieldPath": ".metadata.name",
    }


def _metadata(kind: Kind) -> Any:
    return kind.model.model_fields["metadata"].annotation
