"""Faults on demand: which requests go wrong, and how. Pure.

One way to write them, for the flag, the file and the header alike: a kind and its details,

    status,code=429,retry-after=1,until=5s      close,chunks=3,probability=0.1      hang,requests=7-9

in JSON {"fault": "status", "code": 429, "retry-after": "1", "until": "5s"}. The first rule that fits a request counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

from joulebench_simulator import durations
from joulebench_simulator.errors import BadOptionError, RequestError
from joulebench_simulator.randomness import fraction

HEADER: Final = "x-joulebench-fault"
"""A request that carries it asks for its own fault."""


class FaultKind(StrEnum):
    """What can go wrong."""

    STATUS = "status"
    HANG = "hang"
    SLOW = "slow"
    CLOSE = "close"
    SPLIT = "split"
    BROKEN = "broken"
    NO_USAGE = "no-usage"
    WRONG_MODEL = "wrong-model"


DESCRIPTIONS: Final[Mapping[FaultKind, str]] = {
    FaultKind.STATUS: "answers with an HTTP error: code=500, retry-after=SECONDS",
    FaultKind.HANG: "never answers",
    FaultKind.SLOW: "begins its work late: delay=1s",
    FaultKind.CLOSE: "closes the connection in mid-answer: chunks=3",
    FaultKind.SPLIT: "sends its bytes in pieces of one to seven, also inside of characters",
    FaultKind.BROKEN: "sends one event of a stream, or the whole answer, that is no JSON: chunks=3",
    FaultKind.NO_USAGE: "does not report usage",
    FaultKind.WRONG_MODEL: "says that another model answered",
}
WHEN: Final = "requests=3 or 3-7 (counted from 1), probability=0.1, from=2s, until=5s (since the server's start)"
_DETAILS: Final = frozenset({"code", "retry-after", "delay", "chunks"})
_WHEN: Final = frozenset({"requests", "probability", "from", "until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one request."""

    kind: FaultKind
    code: int = 500
    retry_after: str | None = None
    delay_seconds: float = 1.0
    chunks: int = 3
    """So many chunks of the answer come whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which requests meet a fault."""

    fault: Fault
    first: int = 1
    last: int | None = None
    probability: float = 1.0
    from_seconds: float = 0.0
    until_seconds: float | None = None

    def fits(self, *, number: int, age_seconds: float, chance: float) -> bool:
        """Whether the `number`th request, so long after the server's start, meets it."""
        if number < self.first or (self.last is not None and number > self.last):
            return False
        if age_seconds < self.from_seconds or (self.until_seconds is not None and age_seconds >= self.until_seconds):
            return False
        return chance < self.probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """All rules, in order."""

    rules: Sequence[Rule] = ()
    seed: int = 0

    def of(self, *, number: int, age_seconds: float, asked: str | None = None) -> Fault | None:
        """The fault of a request; `asked` is what its own header says. Raises RequestError if that makes no sense."""
        if asked is not None:
            try:
                return parse_rule(asked, where=HEADER).fault
            except BadOptionError as error:
                raise RequestError(error.message) from error
        for index, rule in enumerate(self.rules):
            if rule.fits(number=number, age_seconds=age_seconds, chance=fraction(self.seed, "fault", index, number)):
                return rule.fault
        return None


def parse_rule(text: str, *, where: str = "--fault") -> Rule:
    """A rule as on the command line. Raises BadOptionError."""
    kind, *details = [part.strip() for part in text.split(",")]
    pairs = [detail.partition("=") for detail in details]
    return _rule({"fault": kind, **{name: value for name, _, value in pairs}}, where=f"{where} {text}")


def read_rules(path: Path) -> list[Rule]:
    """The rules of a JSON file: a list of objects. Raises BadOptionError."""
    try:
        listed = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise BadOptionError(f"--faults {path}: {error}", remedy="name a JSON file with a list of faults") from error
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadOptionError(f"--faults {path}: not a list of objects", remedy='write [{"fault": "hang", ...}]')
    return [_rule(one, where=f"--faults {path}, entry {at}") for at, one in enumerate(listed, 1)]


def _rule(given: Mapping[str, Any], *, where: str) -> Rule:
    unknown = sorted(set(given) - _DETAILS - _WHEN - {"fault"})
    if given.get("fault") not in set(FaultKind) or unknown:
        what = f"there is no {', '.join(unknown)}" if unknown else f"{given.get('fault')!r} is not a fault"
        raise BadOptionError(f"{where}: {what}", remedy=f"faults: {_listed(FaultKind)}; details: {_listed(_known())}")
    words = {name: str(value) for name, value in given.items()}
    try:
        return _read(words)
    except ValueError as error:
        raise BadOptionError(
            f"{where}: {error}", remedy=f"write it like status,code=429,retry-after=1; {WHEN}"
        ) from error


def _read(words: Mapping[str, str]) -> Rule:
    first, _, last = words.get("requests", "1-").partition("-")
    fault = Fault(
        kind=FaultKind(words["fault"]),
        code=int(words.get("code", "500")),
        retry_after=words.get("retry-after"),
        delay_seconds=_seconds(words.get("delay", "1s")),
        chunks=int(words.get("chunks", "3")),
    )
    return Rule(
        fault=fault,
        first=int(first),
        last=int(last) if last else None if words.get("requests", "1-").endswith("-") else int(first),
        probability=float(words.get("probability", "1")),
        from_seconds=_seconds(words.get("from", "0s")),
        until_seconds=_seconds(words["until"]) if "until" in words else None,
    )


def _seconds(text: str) -> float:
    return durations.parse_ns(text) / 1e9


def _known() -> list[str]:
    return sorted(_DETAILS | _WHEN)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
