"""YAML text -> nodes with their places, by libyaml's events: some ten times faster than a scanner in Python.

libyaml is also what the cluster's own reader was made from, so the two agree on what is YAML. What a plain scalar means
is decided here, by YAML 1.2.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"

# A wheel without libyaml is slower, and reads the same.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# In the order in which they are tried; the first characters keep most texts from being tried at all.
_PLAIN = (
    ("null", "nN~", re.compile(r"null|Null|NULL|~")),
    ("bool", "tTfF", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", "-+0123456789", re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")),
    (
        "float",
        "-+.0123456789",
        re.compile(
            r"[-+]?([0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?"
            r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
        ),
    ),
    ("merge", "<", re.compile("<<")),
)


MAX_DEPTH = 200
"""Lists and objects within each other."""


class TooDeepError(yaml.YAMLError):
    """The text is nested too deeply."""


@dataclass(slots=True)
class Node:
    """A value and its place; lines and columns count from 1."""

    tag: str
    line: int
    column: int


@dataclass(slots=True)
class Scalar(Node):
    """A text and what it stands for (its tag)."""

    text: str
    plain: bool
    """Written without quotes."""


@dataclass(slots=True)
class Sequence(Node):
    """A list."""

    entries: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping(Node):
    """An object: its keys and values, repeated ones included."""

    entries: list[tuple[Node, Node]] = field(default_factory=list)


def compose(text: str) -> Iterator[Node]:
    """The roots of the documents, of empty ones too; an alias is the same node again. Raises yaml.YAMLError."""
    composer = _Composer()
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.DocumentStartEvent):
            composer = _Composer()
        elif isinstance(event, yaml.DocumentEndEvent):
            if composer.root is not None:
                yield composer.root
        elif isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            composer.take(event)


class _Composer:
    """Makes one document's nodes of its events."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._anchors: dict[str, Node] = {}
        self._open: list[Sequence | Mapping] = []
        self._keys: list[Node | None] = []

    def take(self, event: Any) -> None:
        """The next event."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._anchored(event))
        else:
            node = _node(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
            self._put(node)
            if isinstance(node, Sequence | Mapping):
                if len(self._open) == MAX_DEPTH:
                    raise TooDeepError
                self._open.append(node)
                self._keys.append(None)

    def _anchored(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            message = f"found undefined alias {event.anchor!r}"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)
        return self._anchors[event.anchor]

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent, key = self._open[-1], self._keys[-1]
        if isinstance(parent, Sequence):
            parent.entries.append(node)
        elif key is None:
            self._keys[-1] = node
        elif isinstance(parent, Mapping):
            parent.entries.append((key, node))
            self._keys[-1] = None


def _node(event: Any) -> Node:
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, yaml.ScalarEvent):
        plain = not event.style
        return Scalar(_scalar_tag(event, plain=plain), line, column, event.value, plain)
    if isinstance(event, yaml.SequenceStartEvent):
        return Sequence(event.tag or f"{TAG}seq", line, column)
    return Mapping(event.tag or f"{TAG}map", line, column)


def _scalar_tag(event: Any, *, plain: bool) -> str:
    if event.tag is not None and event.tag != "!":
        return str(event.tag)
    text = event.value
    if plain and event.tag is None:
        if not text:
            return f"{TAG}null"
        for name, first, pattern in _PLAIN:
            if text[0] in first and pattern.fullmatch(text):
                return f"{TAG}{name}"
    return f"{TAG}str"
