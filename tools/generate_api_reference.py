"""Makes the reference pages of the API from the models: one page a kind, one for conditions.

`render()` returns path -> Markdown; writing them is `tools/generate.py`'s.
"""

import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from joulebench_api.conditions import (
    ADVICE,
    CAMPAIGN_CONDITIONS,
    CONDITION_MEANINGS,
    RUN_CONDITIONS,
    SERVER_CONDITIONS,
    ConditionType,
)
from joulebench_api.configuration import CONFIG_API_VERSION, OperatorConfiguration
from joulebench_api.crd.definition import GROUP, VERSION
from joulebench_api.crd.docstrings import class_text, field_text
from joulebench_api.crd.kinds import KINDS, Kind
from joulebench_api.crd.structural import INT_OR_STRING, OPEN, Schema, field_schema
from joulebench_api.names import camel, joined
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.decimals import DECIMAL_PATTERN
from joulebench_api.v1alpha1.numbers import INT32_MAX
from joulebench_api.v1alpha1.rules import Cel
from joulebench_api.v1alpha1.texts import DURATION_PATTERN, PERCENT_PATTERN, QUANTITY_PATTERN

FOLDER = "docs/reference/api"
NOTE = "<!-- Generated from the models by `make generate`; do not edit. -->"

_FORMS = {
    DURATION_PATTERN: "duration",
    DECIMAL_PATTERN: "decimal",
    PERCENT_PATTERN: "number or percentage",
    QUANTITY_PATTERN: "quantity",
    f"{DURATION_PATTERN}|{PERCENT_PATTERN}": "duration or percentage",
}


def render() -> dict[str, str]:
    """Path (from the repository's root) -> Markdown."""
    pages = {page_name(kind.name): _kind_page(kind) for kind in KINDS}
    pages |= {page_name("OperatorConfiguration"): _configuration_page(), "conditions.md": _conditions_page()}
    return {f"{FOLDER}/{name}": text for name, text in pages.items()}


def page_name(kind: str) -> str:
    """`BenchmarkRun` -> `benchmark-run.md`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower() + ".md"


def _kind_page(kind: Kind) -> str:
    lines = [
        f"# {kind.name}",
        NOTE,
        f"{class_text(kind.model)} `apiVersion: {GROUP}/{VERSION}`, short name `{kind.short_name}`.",
        "**Bold** fields are required. A null is as good as an absent field.",
        *([f"What can be changed: {kind.immutability.message}."] if kind.immutability else []),
        *_types((kind.spec, "spec")),
        "## status",
        f"Written by the operator. {class_text(kind.status)} What the conditions mean: [conditions](conditions.md).",
        *_types((kind.status, "")),
    ]
    return _page(lines)


def _configuration_page() -> str:
    lines = [
        "# OperatorConfiguration",
        NOTE,
        f"What an administrator says for a fleet: a file, not a kind. `apiVersion: {CONFIG_API_VERSION}`.",
        *_types((OperatorConfiguration, "The file")),
    ]
    return _page(lines)


def _page(lines: list[str]) -> str:
    return "\n\n".join(lines) + "\n"


def _types(root: tuple[type[ApiModel], str]) -> Iterator[str]:
    """A section for each type, in the order in which they are met; each once."""
    model, title = root
    waiting, seen = [model], {model}
    while waiting:
        current = waiting.pop(0)
        if title or current is not model:
            yield f"## {title or current.__name__}" if current is model else f"### {current.__name__}"
        yield from _section(current)
        inner = [found for found in _models(current) if found not in seen and _is_told_here(found)]
        seen |= {*inner}
        waiting += dict.fromkeys(inner)


def _is_told_here(model: type[ApiModel]) -> bool:
    # Overlays have the fields of what they were made from: those are told once, on its page.
    return model.derived_from is None or "derived_from" not in vars(model)


def _section(model: type[ApiModel]) -> Iterator[str]:
    text = class_text(model)
    if text:
        yield text
    own = [(name, field) for name, field in model.model_fields.items() if not _is_of_an_overlay(model, name)]
    rows = [_row(model, name, field) for name, field in own]
    yield "\n".join(["| field | type | default | |", "|---|---|---|---|", *rows])
    origin = _overlay_of(model)
    if origin is not None:
        inherited = [
            f"`{_alias(name, field)}`" for name, field in model.model_fields.items() if (name, field) not in own
        ]
        told = f"Besides, none required and none with a default, fields of [{origin.__name__}]({_home(origin)}):"
        yield f"{told} {joined(inherited)}."
    rules = [_rule_text(cel) for rule in model.rules for cel in rule.cel]
    if rules:
        yield "Rules:\n\n" + "\n".join(f"- {rule}" for rule in rules)


def _rule_text(cel: Cel) -> str:
    return cel.message if cel.field_path is None else f"`{cel.field_path.removeprefix('.')}`: {cel.message}"


def _overlay_of(model: type[ApiModel]) -> type[ApiModel] | None:
    """What the overlay that this type extends was made from."""
    return next((base.derived_from for base in _api_bases(model) if "derived_from" in vars(base)), None)


def _is_of_an_overlay(model: type[ApiModel], name: str) -> bool:
    return any("derived_from" in vars(base) and name in base.model_fields for base in _api_bases(model)[1:])


def _api_bases(model: type[ApiModel]) -> list[type[ApiModel]]:
    """The type and its bases, without the base of all."""
    bases = (base for base in model.__mro__ if isinstance(base, type) and issubclass(base, ApiModel))
    return [base for base in bases if base is not ApiModel]


def _row(model: type[ApiModel], name: str, field: FieldInfo) -> str:
    alias = _alias(name, field)
    schema = field_schema(model, name)
    shown = f"**`{alias}`**" if field.is_required() else f"`{alias}`"
    default = schema.get("default")
    default_text = "" if default is None or isinstance(default, dict) else f"`{_plain(default)}`"
    text = field_text(model, name) or ""
    return f"| {shown} | {_type_text(field.annotation, schema)} | {default_text} | {text.replace('|', chr(92) + '|')} |"


def _plain(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default)


def _alias(name: str, field: FieldInfo) -> str:
    return field.alias or camel(name)


def _type_text(annotation: Any, schema: Schema) -> str:
    if schema.get("type") == "array":
        return f"list of {_type_text(_item(annotation), schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type_text(_value(annotation), schema['additionalProperties'])}"
    model = next(_found(annotation), None)
    if model is not None:
        return _link(model)
    return _scalar_text(schema)


def _link(model: type[ApiModel]) -> str:
    origin = model.derived_from if "derived_from" in vars(model) else None
    if origin is None:
        return f"[{model.__name__}](#{model.__name__.lower()})"
    nothing = any(field.is_required() for field in model.model_fields.values())
    return f"[{origin.__name__}]({_home(origin)}), without defaults{'' if nothing else ', nothing required'}"


def _home(model: type[ApiModel]) -> str:
    """Where a type is told that others are made from; all but the specs themselves are parts of a run."""
    specs = {kind.spec: kind for kind in KINDS}
    if model in specs:
        return f"{page_name(specs[model].name)}#spec"
    return f"{page_name('BenchmarkRun')}#{model.__name__.lower()}"


def _scalar_text(schema: Schema) -> str:
    if schema.get("pattern") in _FORMS:
        return _FORMS[schema["pattern"]]
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get(OPEN):
        return "object, open"
    if schema.get(INT_OR_STRING):
        return "integer or string"
    if schema["type"] == "integer":
        return _integer_text(schema)
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _integer_text(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum", INT32_MAX)
    if low is None:
        return "integer"
    return f"integer, {low} or more" if high == INT32_MAX else f"integer, {low} to {high}"


def _models(model: type[ApiModel]) -> list[type[ApiModel]]:
    return [found for field in model.model_fields.values() for found in _found(field.annotation)]


def _found(annotation: Any) -> Iterator[type[ApiModel]]:
    """The API objects in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _found(argument)


def _item(annotation: Any) -> Any:
    return annotation if get_origin(annotation) is not tuple else get_args(annotation)[0]


def _value(annotation: Any) -> Any:
    return annotation if get_origin(annotation) is not dict else get_args(annotation)[1]


def _conditions_page() -> str:
    users = {
        "BenchmarkRun": RUN_CONDITIONS,
        "ModelServer": SERVER_CONDITIONS,
        "BenchmarkCampaign": CAMPAIGN_CONDITIONS,
    }
    types = [
        f"| `{kind}` | {joined([name for name, used in users.items() if kind in used])} | {CONDITION_MEANINGS[kind]} |"
        for kind in ConditionType
    ]
    reasons = [f"| `{reason}` | {advice.meaning} | {advice.remedy} |" for reason, advice in ADVICE.items()]
    lines = [
        "# Conditions and reasons",
        NOTE,
        "## Conditions",
        "\n".join(["| type | of | meaning |", "|---|---|---|", *types]),
        "## Reasons",
        "\n".join(["| reason | meaning | what to do |", "|---|---|---|", *reasons]),
    ]
    return _page(lines)
