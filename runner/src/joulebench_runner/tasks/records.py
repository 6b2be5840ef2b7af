"""What a loaded task is: records, their revision, and what grading one answer says. Plain data, no inspect-ai."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from pydantic import JsonValue

from joulebench_runner.config import TaskSettings

RECORD_ID_LENGTH = 16


def content_id(*parts: str) -> str:
    """A record id made from what is asked (and answered): the same wherever and in whatever order it is loaded."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:RECORD_ID_LENGTH]


def seeded(*parts: object) -> Random:
    """A random generator that depends on its parts alone."""
    return Random(":".join(map(str, parts)))  # noqa: S311  # questions, not secrets


@dataclass(frozen=True, kw_only=True)
class Record:
    """One question."""

    record_id: str
    prompt: str
    """The text of the user's message."""
    reference: str | None = None
    subject: str | None = None
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The questions of a task, with what a reader needs to load the same ones again."""

    revision: str
    records: tuple[Record, ...]
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    warmup_prompts: tuple[str, ...] = ()
    """Prompts of the same kind and length that are no records."""
    extra_body: Mapping[str, JsonValue] = field(default_factory=dict)
    """Fields that every request of this task carries beside the generation options."""
    max_tokens: int | None = None
    """Overrides the entry's default."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the server said to a trial call."""

    prompt_tokens: int | None
    """As the server counted, its chat template included; None where it reports no usage."""
    error: str | None = None


class ProbeServer:
    """Sends trial calls to the served model; made by whoever loads the task."""

    async def __call__(self, prompt: str, *, extra_body: Mapping[str, JsonValue]) -> Probe:
        """Ask for one token after `prompt`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """What a loader is told."""

    settings: TaskSettings
    parameters: Mapping[str, JsonValue]
    """Checked, defaults filled in."""
    seed: int
    warmup_queries: int = 0
    probe: ProbeServer | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What grading one answer says."""

    verdict: Literal["right", "wrong", "unscored"]
    rule: str
    """Name and version of the rule, such as `everyday/1`."""
    tier: str
    """By which step the answer was read: `statement`, `last-number`, ..."""
    answer: str | None = None
    """What was read out of the response."""
    reason: str | None = None

    @property
    def explanation(self) -> str:
        """One line for the results table."""
        parts = [f"rule {self.rule}", f"tier {self.tier}", f"read {self.answer!r}" if self.answer is not None else None]
        return ", ".join(part for part in (*parts, self.reason) if part)


Loader = Callable[[LoadRequest], Awaitable[Dataset]]
Grader = Callable[[str, str, Mapping[str, JsonValue]], Verdict]
"""(response, reference, metadata of the record) -> verdict."""
