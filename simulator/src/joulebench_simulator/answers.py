"""Who answers, and what: scripted, right now and then, echoed, or drawn. Pure.

An answerer sees one prompt and gives an answer, or None if it has none; then the next one is asked. What it says
depends on the seed and the prompt, never on what else is going on.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from joulebench_simulator.errors import BadOptionError
from joulebench_simulator.randomness import fraction, generator
from joulebench_simulator.requests import Prompt
from joulebench_simulator.schemas import WORDS

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?!.*\d)", re.DOTALL)
_FIELDS: Final = frozenset({"prompt", "contains", "sha256", "answer", "wrong", "tool_calls"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function that the answer calls."""

    name: str
    arguments: str
    """JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said."""

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()


class Answerer(Protocol):
    """Answers prompts, or some of them."""

    def answer(self, prompt: Prompt, *, choice: int) -> Answer | None:
        """The answer of the `choice`th of several; None: somebody else must know."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a file of answers. Of `prompt` (the user's last message, exactly), `contains` (a part of it) and
    `sha256` (of it; hex, or its beginning) one says which prompts are meant."""

    prompt: str | None = None
    contains: str | None = None
    sha256: str | None = None
    answer: str = ""
    wrong: str | None = None
    tool_calls: Sequence[ToolCall] = ()

    def fits(self, prompt: Prompt, *, sha256: str) -> bool:
        """Whether this line means that prompt."""
        if self.prompt is not None:
            return self.prompt == prompt.question
        if self.sha256 is not None:
            return sha256.startswith(self.sha256)
        return self.contains is not None and self.contains in prompt.text


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """Answers from a file; right with probability `right`, else something near it that is wrong."""

    entries: Sequence[Entry]
    seed: int
    right: float = 1.0
    preface_words: tuple[int, int] = (0, 0)
    """So many words by chance come before what the file says, so that answers differ in length."""
    _exact: dict[str, Entry] = field(init=False, default_factory=dict)
    _others: list[Entry] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for entry in self.entries:
            if entry.prompt is not None:
                self._exact.setdefault(entry.prompt, entry)
            else:
                self._others.append(entry)

    def answer(self, prompt: Prompt, *, choice: int) -> Answer | None:
        """See Answerer."""
        entry = self._find(prompt)
        if entry is None:
            return None
        preface = self._preface(prompt, choice)
        if fraction(self.seed, "right", prompt.key, choice) < self.right:
            return Answer(text=preface + entry.answer, tool_calls=entry.tool_calls)
        return Answer(text=preface + _wrong(entry, seed=self.seed, key=f"{prompt.key}.{choice}"))

    def _preface(self, prompt: Prompt, choice: int) -> str:
        random = generator(self.seed, "preface", prompt.key, choice)
        count = random.randint(*self.preface_words)
        return f"{words(random.choices(WORDS, k=count))} " if count else ""

    def _find(self, prompt: Prompt) -> Entry | None:
        if prompt.question in self._exact:
            return self._exact[prompt.question]
        sha256 = _sha256(prompt.question) if self._others else ""
        return next((entry for entry in self._others if entry.fits(prompt, sha256=sha256)), None)


@dataclass(frozen=True, slots=True)
class Echo:
    """Says the question again."""

    def answer(self, prompt: Prompt, *, choice: int) -> Answer:  # noqa: ARG002 - all choices are alike
        """See Answerer."""
        return Answer(text=prompt.question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Says words by chance, between the two numbers of them."""

    seed: int
    least_words: int = 8
    most_words: int = 64

    def answer(self, prompt: Prompt, *, choice: int) -> Answer:
        """See Answerer."""
        random = generator(self.seed, "words", prompt.key, choice)
        count = random.randint(self.least_words, self.most_words)
        return Answer(text=words(random.choices(WORDS, k=count)))


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Asks one answerer after the other; the last must know everything."""

    answerers: Sequence[Answerer]

    def answer(self, prompt: Prompt, *, choice: int) -> Answer:
        """See Answerer."""
        found = (one.answer(prompt, choice=choice) for one in self.answerers)
        return next(answer for answer in found if answer is not None)


def words(chosen: Sequence[str]) -> str:
    """Words as a sentence."""
    return " ".join(chosen).capitalize() + "."


def read_answers(path: Path) -> list[Entry]:
    """The entries of a JSONL file. Raises BadOptionError that names the line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadOptionError(f"--answers {path}: {error.strerror}", remedy="name a JSONL file") from error
    return [_entry(line, where=f"--answers {path}, line {at}") for at, line in enumerate(lines, 1) if line.strip()]


def _entry(line: bytes, *, where: str) -> Entry:
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadOptionError(f"{where}: not JSON: {error}", remedy="write one JSON object a line") from error
    if not isinstance(given, dict) or set(given) - _FIELDS or not {"prompt", "contains", "sha256"} & set(given):
        raise BadOptionError(
            f"{where}: not an answer",
            remedy='write {"prompt": ...} or {"contains": ...} or {"sha256": ...} with "answer", and "wrong" or '
            '"tool_calls" as needed',
        )
    calls = tuple(_tool_call(call) for call in given.pop("tool_calls", ()))
    return Entry(**given, tool_calls=calls)


def _tool_call(given: dict[str, Any]) -> ToolCall:
    arguments = given.get("arguments", {})
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return ToolCall(name=given["name"], arguments=text)


def _wrong(entry: Entry, *, seed: int, key: str) -> str:
    """The line's own wrong answer; else its last number changed; else words that say nothing."""
    if entry.wrong is not None:
        return entry.wrong
    random = generator(seed, "wrong", key)
    changed, count = _NUMBER.subn(lambda found: _other_number(found[0], random.randint(1, 9)), entry.answer, count=1)
    return changed if count else words(random.choices(WORDS, k=6))


def _other_number(number: str, more: int) -> str:
    if "." in number:
        return f"{float(number) + more:g}"
    return str(int(number) + more)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
