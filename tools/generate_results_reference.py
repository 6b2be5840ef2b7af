"""The reference page of the results folder, from the schemas that the files are written with."""

import ast
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from joulebench_api.contracts.summary import Summary
from joulebench_runner.results.schema import DESCRIPTION, FILES, META_DESCRIPTION, UNIT

_INTRODUCTION = """\
# Results

One folder a run. Null means "not known", never 0. Every file carries a `schema_version`; Parquet files carry each
column's description and unit in the column's metadata. All of it is made from `journal/` and can be made again.

| file | what is in it |
|---|---|
| `summary.json` | the result in one document |
| `report.html` | all of it on one page, for a browser; see [Reading results](../guide/reading-results.md) |
| `provenance.json` | what the run was made of: plan, dataset revision, versions, devices and sensors, clocks, method |
"""


def render() -> str:
    """The page as Markdown."""
    lines = [_INTRODUCTION.rstrip("\n"), *(_file_line(name, schema) for name, schema in FILES.items())]
    lines += [
        "| `logs/*.eval` | inspect-ai's log of each attempt |",
        "| `journal/` | what everything else is made from |",
        "",
    ]
    for name, schema in FILES.items():
        lines += [f"## {name}", "", _text(schema.metadata[META_DESCRIPTION]), "", *_column_table(schema), ""]
    lines += ["## summary.json", ""]
    for part in _parts(Summary):
        lines += [*([f"### {part.__name__}", ""] if part is not Summary else []), *_part_table(part), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _file_line(name: str, schema: pa.Schema) -> str:
    return f"| [`{name}`](#{name.replace('.', '')}) | {_text(schema.metadata[META_DESCRIPTION])} |"


def _text(value: bytes) -> str:
    return value.decode().replace("|", "\\|")


def _column_table(schema: pa.Schema) -> list[str]:
    rows = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for field in schema:
        metadata = field.metadata or {}
        rows.append(
            f"| `{field.name}` | {field.type} | {_text(metadata.get(UNIT, b''))} | {_text(metadata[DESCRIPTION])} |"
        )
    return rows


def _parts(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and all models in its fields, each once."""
    found = [model]
    for part in found:
        inner = (_part(field.annotation) for field in part.model_fields.values())
        found += [new for new in dict.fromkeys(inner) if new is not None and new not in found]
    return found


def _part_table(part: type[BaseModel]) -> Iterator[str]:
    meanings = _meanings(part)
    yield from (inspect.getdoc(part) or "", "", "| field | type | meaning |", "|---|---|---|")
    for name, field in part.model_fields.items():
        yield f"| `{name}` | {_type_name(field.annotation)} | {meanings.get(name, '')} |"


def _meanings(part: type[BaseModel]) -> dict[str, str]:
    """The texts that stand below the fields of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0]
    found: dict[str, str] = {}
    if isinstance(body, ast.ClassDef):
        for field, text in itertools.pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list


def _part(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `X`, `X | None` or `list[X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for part in map(_part, typing.get_args(annotation)) if part is not None), None)


def _type_name(annotation: Any) -> str:
    parts = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case union if union in {types.UnionType, typing.Union}:
            name = " or ".join(_type_name(part) for part in parts)
        case literal if literal is typing.Literal:
            name = " or ".join(f"`{value}`" for value in parts)
        case list_type if list_type is list:
            name = f"list of {_type_name(parts[0])}"
        case annotated if annotated is typing.Annotated:
            name = _type_name(parts[0])
        case dict_type if dict_type is dict:
            name = "object"
        case _:
            name = _plain_type_name(annotation)
    return name


def _plain_type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    names = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "boolean",
        Decimal: "decimal (text)",
        type(None): "null",
    }
    return names.get(annotation, getattr(annotation, "__name__", "value"))
