"""YAML 1.2 text -> plain values, and the place of every key and value in the text.

Values are made here from the text's nodes, so that all repeated keys are found (not only the first), values stay plain,
and each key's and value's line is known.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from yaml import MarkedYAMLError, YAMLError

from joulebench_api.problems import Path, Position, Problem, Severity, problem_at, shown
from joulebench_api.yaml_nodes import TAG, Mapping, Node, Scalar, Sequence, TooDeepError, compose

MAX_VALUES = 100_000
"""Values in a file of a few lines, those that aliases repeat included."""

_YAML_1_1_BOOLEANS = re.compile(r"(?i:yes|no|on|off)")


@dataclass
class Document:
    """One document: its values, and where they stand."""

    start: Position
    data: Any = None
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    told: list[Problem] = field(default_factory=list)
    """The problems and warnings of this document among those of the whole text."""

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
    # What aliases repeat must not fill the memory; without them a text has fewer values than characters.
    budget = iter(range(max(MAX_VALUES, len(text))))
    try:
        for node in compose(text):
            start = Position(source, node.line, node.column)
            reader = _Reader(source=source, parsed=parsed, budget=budget, start=start)
            parsed.documents.append(reader.read(node))
    except (YAMLError, UnicodeEncodeError) as error:
        parsed.problems.append(_unreadable(error, text, source))
    # An empty document (a `---` at the end) is no document.
    parsed.documents[:] = [document for document in parsed.documents if document.data is not None]
    return parsed


def _position(source: str, mark: Any) -> Position:
    return Position(source, mark.line + 1, mark.column + 1)


def _unreadable(error: Exception, text: str, source: str) -> Problem:
    if isinstance(error, TooDeepError):
        return problem_at(Position(source), (), "nested too deeply to be read")
    if isinstance(error, _TooMuchError):
        return problem_at(Position(source), (), f"holds more than {MAX_VALUES:,} values, aliases counted")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = Position(source) if mark is None else _position(source, mark)
    reason = error.problem if isinstance(error, MarkedYAMLError) and error.problem else _CHARACTER
    remedy = "look at the indentation, colons and quotes on this line"
    if mark is not None and _tab_at(text, mark):
        remedy = "indent with spaces, not with tabs"
    message = f"not YAML that can be read: {reason.replace(' in this context', ' here')}"
    return problem_at(position, (), message, remedy=remedy)


_CHARACTER = "a character is not allowed in YAML"


def _tab_at(text: str, mark: Any) -> bool:
    lines = text.split("\n")
    return bool(mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t")


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
        return Position(self._source, node.line, node.column)

    def _problem(self, node: Node, path: Path, message: str, remedy: str | None = None) -> None:
        problem = problem_at(self._at(node), path, message, remedy=remedy)
        self._parsed.problems.append(problem)
        self._document.told.append(problem)

    def _value(self, node: Node, path: Path) -> Any:
        if next(self._budget, None) is None:
            raise _TooMuchError
        self._document.values[path] = self._at(node)
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if any(node is other for other in self._open):
            self._problem(node, path, "an alias that holds itself")
            return None
        self._open.append(node)
        value = self._mapping(node, path) if isinstance(node, Mapping) else self._sequence(node, path)
        self._open.pop()
        return value

    def _sequence(self, node: Node, path: Path) -> list[Any]:
        entries = node.entries if isinstance(node, Sequence) else []
        return [self._value(entry, (*path, index)) for index, entry in enumerate(entries)]

    def _mapping(self, node: Mapping, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[Node] = []
        for key, value in node.entries:
            if not isinstance(key, Scalar):
                self._problem(key, path, "a key must be text")
            elif key.tag == f"{TAG}merge":
                merged.append(value)
            elif key.text in own:
                first = self._document.keys[(*path, key.text)].line
                self._problem(key, (*path, key.text), f"given twice, first in line {first}", "keep one of them")
            else:
                self._document.keys[(*path, key.text)] = self._at(key)
                own[key.text] = self._value(value, (*path, key.text))
        for value in merged:
            self._merge(value, path, own)
        return own

    def _merge(self, node: Node, path: Path, own: dict[str, Any]) -> None:
        """`<<: *anchor`: fields of another mapping, where there is none yet."""
        for source in node.entries if isinstance(node, Sequence) else [node]:
            if not isinstance(source, Mapping):
                self._problem(source, path, "only objects can be merged with <<")
                continue
            # Positions of fields that are there already must stay as they are.
            before = dict(self._document.keys), dict(self._document.values)
            for key, value in self._value(source, path).items():
                own.setdefault(key, value)
            self._document.keys |= before[0]
            self._document.values |= before[1]

    def _scalar(self, node: Scalar, path: Path) -> Any:
        kind = node.tag.removeprefix(TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return node.text.lower() == "true"
        if kind in {"int", "float"}:
            return self._number(node, path, kind)
        if kind not in {"str", "timestamp"}:
            self._problem(node, path, f"tags such as {node.tag} are not used here", "remove the tag")
        elif node.plain and _YAML_1_1_BOOLEANS.fullmatch(node.text):
            warning = self._boolean_word(node, path)
            self._parsed.warnings.append(warning)
            self._document.told.append(warning)
        return node.text

    def _number(self, node: Scalar, path: Path, kind: str) -> int | float | None:
        try:
            value = _integer(node.text) if kind == "int" else _float(node.text)
        except ValueError:  # `!!int x`, or more digits than Python converts
            value = math.nan
        if math.isfinite(value):
            return value
        self._problem(node, path, f"{shown(node.text)} is not a number that can be used here")
        return None

    def _boolean_word(self, node: Scalar, path: Path) -> Problem:
        return problem_at(
            self._at(node),
            path,
            f"a cluster reads {node.text} without quotes as {str(node.text.lower() in {'yes', 'on'}).lower()}",
            remedy=f"write {shown(node.text)} in quotes",
            value=node.text,
            severity=Severity.WARNING,
        )


def _integer(text: str) -> int:
    """YAML 1.2: decimal (leading zeros have no meaning), 0o17, 0x1F."""
    plain = text.replace("_", "").lower()
    prefixed = plain.lstrip("+-").startswith(("0x", "0o", "0b"))
    return int(plain, 0 if prefixed else 10)


def _float(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
