"""Makes the parts of the chart that follow from other files: the schema of its value `config`, the table of its values.

The rest of values.schema.json is written by hand. What describes a value is the comment before it in values.yaml.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.crd.jsonschema import of_file
from tools.images import ROOT

CHART: Final = "charts/joulebench"
SCHEMA: Final = f"{CHART}/values.schema.json"
PAGE: Final = "docs/reference/chart-values.md"
_LINE = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z]+):(?P<value>.*)")
_HEADER = """<!-- Generated from charts/joulebench/values.yaml by `make generate`; do not edit. -->
# Values of the chart

Other names, and values of other types, are refused before anything is installed.
[Install on a cluster](../guide/install.md) tells which of them matter.

| value | default | meaning |
|---|---|---|
"""


def render() -> dict[str, str]:
    """Path (from the repository's root) -> text."""
    present = json.loads((ROOT / SCHEMA).read_text())
    values = (ROOT / CHART / "values.yaml").read_text()
    return {SCHEMA: json.dumps(_with_configuration(present), indent=1) + "\n", PAGE: _HEADER + _table(values)}


def _with_configuration(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the operator's configuration in it, or a text, whose fields the operator itself looks at."""
    configuration = {**of_file(OperatorConfiguration), "type": ["object", "string"]}
    del configuration["$schema"]
    return {**schema, "properties": {**schema["properties"], "config": configuration}}


def _table(values: str) -> str:
    defaults = yaml.safe_load(values)
    return "".join(_row(path, text, _at(defaults, path)) for path, text in described(values))


def _row(path: str, text: str, default: Any) -> str:
    return f"| `{path}` | `{json.dumps(default)}` | {text.replace('|', chr(92) + '|')} |\n"


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def described(values: str) -> Iterator[tuple[str, str]]:
    """Each value that a comment describes, by its path, with that comment."""
    path: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip("# "))
        elif not line:
            comment = []
        elif found := _LINE.match(line):
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            if comment:
                yield ".".join(path), " ".join(comment)
            comment = []
