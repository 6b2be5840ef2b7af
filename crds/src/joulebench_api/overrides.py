"""`--set spec.task.limit=20`: values that take the place of what a document says."""

import re
from collections.abc import Sequence
from typing import Any

from joulebench_api.problems import Path, Position, Problem, path_text, problem_at, shown
from joulebench_api.yaml_tree import Document, parse

_STEP = re.compile(r'\.?(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>[0-9]{1,6})\]|\["(?P<quoted>[^"]*)"\]')


def apply(document: Document, overrides: Sequence[str]) -> list[Problem]:
    """Put the values of the overrides into the document, in their order; returns what is wrong with them.

    Whether a field exists is the schema's to say, afterwards: it knows the names.
    """
    return [problem for override in overrides for problem in _apply_one(document, override)]


def _apply_one(document: Document, override: str) -> list[Problem]:
    position = Position(f"--set {override}")
    path_part, equals, value_part = _split(override)
    path = parse_path(path_part)
    if not equals or path is None:
        remedy = "write it as --set spec.task.limit=20 or --set spec.load.stages[0].rate=5"
        return [problem_at(position, (), "not an override", remedy=remedy, value=override)]
    parsed = parse(value_part, source=position.source)
    if parsed.problems or len(parsed.documents) > 1:
        message = parsed.problems[0].message if parsed.problems else "more than one value"
        return [problem_at(position, path, message, remedy="write the value as YAML", value=value_part)]
    value = parsed.documents[0].data if parsed.documents else None
    refused = _put(document, path, value)
    if refused is not None:
        return [problem_at(position, path, refused[0], remedy=refused[1], value=value)]
    _move(document, path, position)
    return []


def _split(override: str) -> tuple[str, str, str]:
    """At the first `=` that is not inside a quoted key."""
    found = re.match(r'((?:[^="]|"[^"]*")*)=(.*)', override, re.DOTALL)
    return (found[1].strip(), "=", found[2]) if found else (override, "", "")


def parse_path(text: str) -> Path | None:
    """`spec.load.stages[0]["a.b"]` -> its keys and indices; None if it is no path."""
    path: list[str | int] = []
    end = 0
    while end < len(text):
        step = _STEP.match(text, end)
        # The first step has no dot; every later name has one.
        if step is None or (step["name"] is not None and (step[0][0] == ".") != bool(path)):
            return None
        path.append(int(step["index"]) if step["index"] is not None else step["name"] or step["quoted"] or "")
        end = step.end()
    return tuple(path) if path and isinstance(path[0], str) else None


_Refusal = tuple[str, str | None]


def _put(document: Document, path: Path, value: Any) -> _Refusal | None:
    parent: Any = document.data
    for depth, step in enumerate(path):
        refused = _unfit(parent, step, path[:depth])
        if refused is not None:
            return refused
        last = depth == len(path) - 1
        if isinstance(parent, list):
            child = parent[step] if isinstance(step, int) and step < len(parent) else None
        else:
            child = parent.get(step)
        if last:
            child = value
        elif child is None:
            child = [] if isinstance(path[depth + 1], int) else {}
        _store(parent, step, child)
        parent = child
    return None


def _unfit(parent: Any, step: str | int, path: Path) -> _Refusal | None:
    """Why `parent` has no such step."""
    here = path_text(path) or "the document"
    if isinstance(step, str) and not isinstance(parent, dict):
        return f"{here} is {shown(parent)} and has no field '{step}'", "name an entry such as [0]" if isinstance(
            parent, list
        ) else None
    if isinstance(step, int) and not isinstance(parent, list):
        return f"{here} is {shown(parent)} and has no entries", None
    if isinstance(step, int) and step > len(parent):
        return f"{here} has {len(parent)} entries, so [{step}] cannot be set", f"the next one is [{len(parent)}]"
    return None


def _store(parent: Any, step: Any, child: Any) -> None:
    if isinstance(parent, list) and step == len(parent):
        parent.append(child)
    else:
        parent[step] = child


def _move(document: Document, path: Path, position: Position) -> None:
    """From now on the value, and all below it, stands on the command line."""
    for positions in (document.keys, document.values):
        below = [known for known in positions if known[: len(path)] == path]
        for known in below:
            del positions[known]
        positions[path] = position
        # Objects that the override made on its way stand there too.
        for end in range(len(path) - 1, 0, -1):
            positions.setdefault(path[:end], position)
