"""What this release brings along: tasks, agents, tools, presets, engines, exports. Read from `catalog.json`.

The runner's image may be another release, or the user's own, so what is not in the catalogue is never an error: only
the run's own preflight knows. The file is generated (`make generate`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Parameter:
    """A parameter of a task."""

    name: str
    kind: str
    description: str
    default: Any = None


@dataclass(frozen=True)
class Task:
    """A task of the registry."""

    name: str
    title: str
    description: str
    licence: str
    scored: bool
    params: Mapping[str, Parameter]


@dataclass(frozen=True)
class Preset:
    """A model that can be named by one word."""

    name: str
    engine: str
    model: str


@dataclass(frozen=True)
class Catalog:
    """All that can be named. `startable` are the engines that joulebench can start by itself."""

    tasks: Mapping[str, Task]
    agents: tuple[str, ...]
    tools: tuple[str, ...]
    presets: Mapping[str, Preset]
    engines: tuple[str, ...]
    startable: tuple[str, ...]
    exports: tuple[str, ...]


@cache
def catalog() -> Catalog:
    """This release's catalogue."""
    return read(json.loads((files("joulebench_api") / "catalog.json").read_text()))


def read(data: Mapping[str, Any]) -> Catalog:
    """The catalogue from the content of its file. Raises ValueError for a version that is not known here."""
    if data.get("schemaVersion") != SCHEMA_VERSION:
        raise ValueError(
            f"catalog.json has schemaVersion {data.get('schemaVersion')}; this release reads {SCHEMA_VERSION}"
        )
    return Catalog(
        tasks=MappingProxyType({entry["name"]: _task(entry) for entry in data["tasks"]}),
        agents=tuple(data["agents"]),
        tools=tuple(data["tools"]),
        presets=MappingProxyType({entry["name"]: Preset(**entry) for entry in data["presets"]}),
        engines=tuple(entry["name"] for entry in data["engines"]),
        startable=tuple(entry["name"] for entry in data["engines"] if entry["startable"]),
        exports=tuple(data["exports"]),
    )


def _task(entry: Mapping[str, Any]) -> Task:
    params = {parameter["name"]: Parameter(**parameter) for parameter in entry["params"]}
    return Task(**{**entry, "params": MappingProxyType(params)})
