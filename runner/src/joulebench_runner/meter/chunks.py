"""What a chunk of a streamed answer, or an unstreamed answer, says. Pure; nothing is guessed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

JsonObject = Mapping[str, Any]

DONE: Final = b"[DONE]"
_CONTENT_KEYS: Final = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio")
_LARGEST_COUNT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as the server reported them."""

    prompt_tokens: int | None
    cached_prompt_tokens: int | None
    output_tokens: int | None


def usage_of(answer: JsonObject) -> Usage | None:
    """Token counts of a chunk or an answer; None if it carries none."""
    usage = answer.get("usage")
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    counts = Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_prompt_tokens=_count(cached),
        output_tokens=_count(usage.get("completion_tokens")),
    )
    return None if counts.prompt_tokens is None and counts.output_tokens is None else counts


def is_usage_only(chunk: JsonObject) -> bool:
    """Whether this is the extra chunk that `stream_options.include_usage` asks for: usage and empty `choices`."""
    return chunk.get("choices") == [] and isinstance(chunk.get("usage"), Mapping)


def has_content(chunk: JsonObject) -> bool:
    """Whether any choice of a streamed chunk carries text, reasoning, a refusal or a tool call."""
    return any(_choice_has_content(choice) for choice in choices_of(chunk))


def finish_reason_of(answer: JsonObject) -> str | None:
    """The finish reason of the first choice that has one."""
    reasons = (choice.get("finish_reason") for choice in choices_of(answer))
    return next((reason for reason in reasons if isinstance(reason, str)), None)


def error_of(chunk: JsonObject) -> Any | None:
    """The error that a server put into its answer instead of choices; None if there is none."""
    return chunk.get("error") if "choices" not in chunk else None


def choices_of(answer: JsonObject) -> Iterator[JsonObject]:
    """The choices, those that are objects."""
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, Mapping):
            yield choice


def _choice_has_content(choice: JsonObject) -> bool:
    delta = choice.get("delta")
    if isinstance(delta, Mapping):
        return any(delta.get(key) for key in _CONTENT_KEYS)
    return bool(choice.get("text"))


def _count(value: object) -> int | None:
    """A token count; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < _LARGEST_COUNT else None
