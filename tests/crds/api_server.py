"""What an API server does with an object of ours, without one: defaults, schema, list types, then CEL.

CEL is judged by cel-python; a real API server's own code has judged the same table (see the cluster tests).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError
from jsonschema import Draft202012Validator

from joulebench_api.crd.definition import object_schema
from joulebench_api.crd.jsonschema import from_structural
from joulebench_api.crd.kinds import KINDS
from joulebench_api.crd.structural import OPEN, VALIDATIONS, Schema
from joulebench_api.v1alpha1.rules import escaped

_ABSENT = object()


@cache
def schema_of(kind: str) -> Schema:
    """The structural schema of a kind."""
    return next(object_schema(entry) for entry in KINDS if entry.name == kind)


@cache
def _validator(kind: str) -> Draft202012Validator:
    schema = from_structural(schema_of(kind))
    # Metadata is the API server's own.
    schema["properties"]["metadata"] = {"type": "object"}
    return Draft202012Validator(schema)


@cache
def _program(rule: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def refusals(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[str]:
    """Why the object (or the change from `old`) is refused; empty if it is accepted."""
    kind = str(obj["kind"])
    schema = schema_of(kind)
    filled = with_defaults(obj, schema)
    wrong = [f"{error.json_path}: {error.message[:200]}" for error in _validator(kind).iter_errors(filled)]
    wrong += _repetitions(filled, schema, "")
    if wrong:
        # As on the API server: rules are for objects whose schema holds.
        return wrong
    before = _ABSENT if old is None else with_defaults(old, schema)
    return list(_broken_rules(filled, before, schema, ""))


def with_defaults(value: Any, schema: Schema) -> Any:
    """The value with the schema's defaults filled in, and without nulls, as the API server stores it."""
    if isinstance(value, Mapping) and "properties" in schema:
        return _object_with_defaults(value, schema)
    if isinstance(value, Mapping) and "additionalProperties" in schema:
        return {key: with_defaults(inner, schema["additionalProperties"]) for key, inner in value.items()}
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(inner, schema["items"]) for inner in value]
    return value


def _object_with_defaults(value: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    properties = schema["properties"]
    given = {key: inner for key, inner in value.items() if inner is not None or key not in properties}
    filled = {key: inner["default"] for key, inner in properties.items() if "default" in inner} | given
    return {key: with_defaults(inner, properties[key]) if key in properties else inner for key, inner in filled.items()}


def _repetitions(value: Any, schema: Schema, path: str) -> list[str]:
    """Entries of list maps that have the same keys."""
    found = []
    if isinstance(value, list) and schema.get("x-kubernetes-list-type") == "map":
        keys = schema["x-kubernetes-list-map-keys"]
        identities = [tuple(str(entry.get(key)) for key in keys) for entry in value if isinstance(entry, dict)]
        found += [f"{path}: {one} is there twice" for one in set(identities) if identities.count(one) > 1]
    for inner, inner_schema, step in _children(value, schema):
        found += _repetitions(inner, inner_schema, path + step)
    return found


def _children(value: Any, schema: Schema) -> Iterator[tuple[Any, Schema, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if known is not None:
                yield inner, known, f".{key}"
    elif isinstance(value, list) and "items" in schema:
        yield from ((inner, schema["items"], f"[{index}]") for index, inner in enumerate(value))


def _broken_rules(value: Any, old: Any, schema: Schema, path: str) -> Iterator[str]:
    rules = schema.get(VALIDATIONS, ())
    bound = _bound(value, old, schema) if rules else {}
    for rule in rules:
        if ("oldSelf" not in rule["rule"] or old is not _ABSENT) and not _holds(rule["rule"], bound):
            yield f"{path or '.'}: {rule['message']}"
    for inner, inner_schema, step in _children(value, schema):
        # Below a list the API server looks for the entry's old self; our rules about change stand above all lists.
        before = old.get(step[1:], _ABSENT) if isinstance(old, Mapping) and step.startswith(".") else _ABSENT
        yield from _broken_rules(inner, before, inner_schema, path + step)


def _bound(value: Any, old: Any, schema: Schema) -> dict[str, Any]:
    given = {"self": value} if old is _ABSENT else {"self": value, "oldSelf": old}
    return {name: json_to_cel(_renamed(inner, schema)) for name, inner in given.items()}


def _holds(rule: str, bound: Mapping[str, Any]) -> bool:
    try:
        return bool(_program(rule).evaluate(dict(bound)))
    except CELEvalError:
        # As on the API server: a rule that cannot be evaluated does not hold.
        return False


def _renamed(value: Any, schema: Schema) -> Any:
    """The value with declared fields named as CEL names them."""
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        return {
            (escaped(key) if key in properties else key): _renamed(
                inner, properties.get(key, schema.get("additionalProperties") or {})
            )
            for key, inner in value.items()
            # What an open object does not declare, rules about single keys do not see; equality does.
            if key in properties or not properties or schema.get(OPEN)
        }
    if isinstance(value, list):
        return [_renamed(inner, schema.get("items", {})) for inner in value]
    return value
