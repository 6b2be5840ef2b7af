"""Values that fit a JSON schema's simple types; drawn by chance, so the same chance gives the same value. Pure."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

WORDS: Final = (
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbour", "island", "juniper", "kettle", "lantern",
    "meadow", "nectar", "orchard", "pebble", "quarry", "ripple", "saddle", "timber", "upland", "valley", "willow",
    "yonder", "zephyr",
)  # fmt: skip
_DEEPEST: Final = 8


def value(schema: Mapping[str, Any], random: Random, *, depth: int = 0) -> Any:
    """A value that fits. References, patterns and numeric ranges beyond minimum and maximum are not looked at."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return random.choice(schema["enum"])
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return value(schema[union][0], random, depth=depth)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    return _of_type(kind, schema, random, depth)


def _of_type(kind: str, schema: Mapping[str, Any], random: Random, depth: int) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {}) if depth < _DEEPEST else {}
            return {name: value(inner, random, depth=depth + 1) for name, inner in properties.items()}
        case "array":
            count = max(int(schema.get("minItems", 1)), 0)
            return [value(schema.get("items", {}), random, depth=depth + 1) for _ in range(count)]
        case _:
            return _simple(kind, schema, random)


def _simple(kind: str, schema: Mapping[str, Any], random: Random) -> Any:
    least = schema.get("minimum", 0)
    most = schema.get("maximum", least + 100)
    simple = {
        "integer": lambda: random.randint(int(least), int(most)),
        "number": lambda: round(random.uniform(least, most), 3),
        "boolean": lambda: random.random() < 0.5,
        "null": lambda: None,
    }
    return simple.get(kind, lambda: random.choice(WORDS))()
