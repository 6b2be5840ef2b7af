"""Which changes of a structural schema would break stored objects, or files that people have.

Without a conversion webhook, all releases of a version share one schema: it may only grow.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from joulebench_api.crd.structural import INT_OR_STRING, OPEN, VALIDATIONS

_LOWER_BOUNDS = ("minimum", "minLength", "minItems", "minProperties")
_UPPER_BOUNDS = ("maximum", "maxLength", "maxItems", "maxProperties")
_MUST_STAY = ("type", "format", "pattern", INT_OR_STRING, OPEN, "x-kubernetes-list-type", "x-kubernetes-list-map-keys")


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any], *, path: str = "") -> list[str]:
    """The changes from one structural schema to another that break something, each as `path: what`.

    Added optional fields (with a default or without), added values of an enumeration, widened bounds and other
    descriptions are fine. A rule that is new may refuse what is stored, so it counts as breaking; a rule that is gone
    does not. Rules are told apart by their messages: whether another expression refuses more cannot be seen here, and
    the rule about immutability grows with each new field.
    """
    return [f"{path or '.'}: {what}" for what in _here(old, new)] + list(_below(old, new, path))


def _here(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in _MUST_STAY:
        if old.get(key) != new.get(key) and not _loosened(key, old, new):
            yield f"{key} was {_said(old, key)}, is {_said(new, key)}"
    yield from _bounds(old, new, _LOWER_BOUNDS, narrower=lambda before, after: after > before)
    yield from _bounds(old, new, _UPPER_BOUNDS, narrower=lambda before, after: after < before)
    yield from _enumeration(old, new)
    if old.get("default") != new.get("default"):
        yield f"default was {_said(old, 'default')}, is {_said(new, 'default')}"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{name} is required now"
    known = {_identity(rule) for rule in old.get(VALIDATIONS, ())}
    yield from (f"new rule: {rule['message']}" for rule in new.get(VALIDATIONS, ()) if _identity(rule) not in known)


def _identity(rule: Mapping[str, str]) -> tuple[str, str | None]:
    return rule["message"], rule.get("fieldPath")


def _loosened(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """A pattern or format that is gone, and an object that was opened, refuse nothing that was allowed."""
    gone = key in {"pattern", "format"} and key not in new
    return gone or (key == OPEN and OPEN in new and OPEN not in old)


def _said(schema: Mapping[str, Any], key: str) -> str:
    return repr(schema[key]) if key in schema else "absent"


def _bounds(old: Mapping[str, Any], new: Mapping[str, Any], keys: Iterable[str], *, narrower: Any) -> Iterator[str]:
    for key in keys:
        if key in new and (key not in old or narrower(old[key], new[key])):
            yield f"{key} was {_said(old, key)}, is {new[key]}"


def _enumeration(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if "enum" not in new:
        return
    if "enum" not in old:
        yield f"only {', '.join(map(str, new['enum']))} are allowed now"
    elif gone := [str(value) for value in old["enum"] if value not in new["enum"]]:
        yield f"{', '.join(gone)} not allowed any more"


def _below(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name, schema in before.items():
        if name not in after:
            yield f"{path}.{name}: removed"
        else:
            yield from breaking_changes(schema, after[name], path=f"{path}.{name}")
    for key, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if key in old and key in new:
            yield from breaking_changes(old[key], new[key], path=f"{path}{sign}")
        elif key in old or key in new:
            yield f"{path}: {key} {'removed' if key in old else 'added'}"
