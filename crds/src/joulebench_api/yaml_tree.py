"""YAML 1.2 text -> plain values, and the place of every key and value in the text.

ruamel.yaml reads the text up to its nodes; values are made here, so that all repeated keys are found (not only the
first), values stay plain, and each key's and value's line is known.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from joulebench_api.problems import Path, Position, Problem, problem_at, shown

MAX_VALUES = 100_000
"""Values in one file, those that aliases repeat included: a file of a few lines must not fill the memory."""

_TAG = "tag:yaml.org,2002:"
_YAML_1_1_BOOLEANS = re.compile(r"(?i:yes|no|on|off)")


@dataclass
class Document:
    """One document: its values, and where they stand."""

    start: Position
    data: Any = None
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)

    def key_position(self, path: Path) -> Position:
        """Where the key of a field stands, or the nearest key above it."""
        return self._nearest(self.keys, path)

    def value_position(self, path: Path) -> Position:
        """Where a value stands, or the nearest value above it."""
        return self._nearest(self.values, path)

    def _nearest(self, positions: dict[Path, Position], path: Path) -> Position:
        # A list's entry has no key; its value's place is as good.
        ends = range(len(path), -1, -1)
        found = (positions.get(path[:end]) or self.values.get(path[:end]) for end in ends)
        return next((position for position in found if position is not None), self.start)


@dataclass(frozen=True)
class Parsed:
    """What a text holds."""

    documents: list[Document]
    problems: list[Problem]
    warnings: list[Problem]


def parse(text: str, *, source: str) -> Parsed:
    """Read a text with any number of documents; what cannot be read is a problem, never an exception."""
    parsed = Parsed(documents=[], problems=[], warnings=[])
    budget = iter(range(MAX_VALUES))
    try:
        for node in YAML(typ="rt").compose_all(text):
            if node is not None:
                reader = _Reader(source=source, parsed=parsed, budget=budget, start=_position(source, node.start_mark))
                parsed.documents.append(reader.read(node))
    except (YAMLError, RecursionError) as error:
        parsed.problems.append(_unreadable(error, source))
    # An empty document (a `---` at the end) is no document.
    parsed.documents[:] = [document for document in parsed.documents if document.data is not None]
    return parsed


def _position(source: str, mark: Any) -> Position:
    return Position(source, mark.line + 1, mark.column + 1)


def _unreadable(error: Exception, source: str) -> Problem:
    if isinstance(error, RecursionError):
        return problem_at(Position(source), (), "nested too deeply to be read")
    if isinstance(error, _TooMuchError):
        return problem_at(Position(source), (), f"holds more than {MAX_VALUES:,} values, aliases counted")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = Position(source) if mark is None else _position(source, mark)
    text = (
        error.problem if isinstance(error, MarkedYAMLError) and error.problem else "a character is not allowed in YAML"
    )
    tab = "\\t" in text
    remedy = "indent with spaces, not with tabs" if tab else "look at the indentation, colons and quotes on this line"
    return problem_at(position, (), f"not YAML that can be read: {text}", remedy=remedy)


class _TooMuchError(YAMLError):
    """The text stands for more values than are read."""


class _Reader:
    """Makes the values of one document."""

    def __init__(self, *, source: str, parsed: Parsed, budget: Iterator[int], start: Position) -> None:
        self._source = source
        self._parsed = parsed
        self._budget = budget
        self._document = Document(start=start)
        self._open: list[Node] = []

    def read(self, root: Node) -> Document:
        self._document.data = self._value(root, ())
        return self._document

    def _at(self, node: Node) -> Position:
        return _position(self._source, node.start_mark)

    def _problem(self, node: Node, path: Path, message: str, remedy: str | None = None) -> None:
        self._parsed.problems.append(problem_at(self._at(node), path, message, remedy=remedy))

    def _value(self, node: Node, path: Path) -> Any:
        if next(self._budget, None) is None:
            raise _TooMuchError
        self._document.values[path] = self._at(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if any(node is other for other in self._open):
            self._problem(node, path, "an alias that holds itself")
            return None
        self._open.append(node)
        value = self._mapping(node, path) if isinstance(node, MappingNode) else self._sequence(node, path)
        self._open.pop()
        return value

    def _sequence(self, node: Node, path: Path) -> list[Any]:
        return [self._value(entry, (*path, index)) for index, entry in enumerate(node.value)]

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if str(key.tag) == f"{_TAG}merge":
                merged.append(value)
            elif not isinstance(key, ScalarNode):
                self._problem(key, path, "a key must be text")
            elif key.value in own:
                first = self._document.keys[(*path, key.value)].line
                self._problem(key, (*path, key.value), f"given twice, first in line {first}", "keep one of them")
            else:
                self._document.keys[(*path, key.value)] = self._at(key)
                own[key.value] = self._value(value, (*path, key.value))
        for value in merged:
            self._merge(value, path, own)
        return own

    def _merge(self, node: Node, path: Path, own: dict[str, Any]) -> None:
        """`<<: *anchor`: fields of another mapping, where there is none yet."""
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(source, MappingNode):
                self._problem(source, path, "only objects can be merged with <<")
                continue
            # Positions of fields that are there already must stay as they are.
            before = dict(self._document.keys), dict(self._document.values)
            for key, value in self._value(source, path).items():
                own.setdefault(key, value)
            self._document.keys |= before[0]
            self._document.values |= before[1]

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return node.value.lower() == "true"
        if kind in {"int", "float"}:
            return self._number(node, path, kind)
        if kind not in {"str", "timestamp"}:
            self._problem(node, path, f"tags such as {node.tag} are not used here", "remove the tag")
        elif node.style is None and _YAML_1_1_BOOLEANS.fullmatch(node.value):
            self._parsed.warnings.append(self._boolean_word(node, path))
        return node.value

    def _number(self, node: ScalarNode, path: Path, kind: str) -> int | float | None:
        try:
            value = _integer(node.value) if kind == "int" else _float(node.value)
        except ValueError:  # `!!int x`, or more digits than Python converts
            value = math.nan
        if math.isfinite(value):
            return value
        self._problem(node, path, f"{shown(node.value)} is not a number that can be used here")
        return None

    def _boolean_word(self, node: ScalarNode, path: Path) -> Problem:
        return problem_at(
            self._at(node),
            path,
            f"a cluster reads {node.value} without quotes as {str(node.value.lower() in {'yes', 'on'}).lower()}",
            remedy=f"write {shown(node.value)} in quotes",
            value=node.value,
        )


def _integer(text: str) -> int:
    """YAML 1.2: decimal (leading zeros have no meaning), 0o17, 0x1F."""
    plain = text.replace("_", "").lower()
    prefixed = plain.lstrip("+-").startswith(("0x", "0o", "0b"))
    return int(plain, 0 if prefixed else 10)


def _float(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
