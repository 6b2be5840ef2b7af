"""The reference page of the results folder, from the schemas that the files are written with."""

import types
import typing
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from joulebench_api.contracts.summary import Summary
from joulebench_runner.results.schema import DESCRIPTION, FILES, META_DESCRIPTION, UNIT

_INTRODUCTION = """\
# Results

One folder a run. Null means "not known", never 0. Every file carries a `schema_version`; Parquet files carry each column's
description and unit in the column's metadata. All of it is made from `journal/` and can be made again.

| file | what is in it |
|---|---|
| `summary.json` | the result in one document |
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
    lines += ["## summary.json", "", "Fields of parts stand under their part's path.", ""]
    lines += ["| field | type |", "|---|---|", *_summary_rows(Summary, "")]
    return "\n".join(lines) + "\n"


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


def _summary_rows(model: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        part = _part(field.annotation)
        yield f"| `{path}{name}` | {_type_name(field.annotation)} |"
        if part is not None:
            yield from _summary_rows(part, f"{path}{name}{'[]' if _is_list(field.annotation) else ''}.")


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is list


def _part(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `X`, `X | None` or `list[X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for part in map(_part, typing.get_args(annotation)) if part is not None), None)


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        return " or ".join(_type_name(part) for part in typing.get_args(annotation))
    if _is_list(annotation):
        return f"list of {_type_name(typing.get_args(annotation)[0])}"
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(annotation))
    if annotation is type(None):
        return "null"
    if typing.get_origin(annotation) is dict:
        return "object"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return {str: "text", int: "integer", float: "number", bool: "boolean"}.get(
        annotation, getattr(annotation, "__name__", "value")
    )
