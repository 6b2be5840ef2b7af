"""What a client asks for, read from the body of an OpenAI request. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from joulebench_simulator import tokens
from joulebench_simulator.errors import RequestError

_MESSAGE_TOKENS: Final = 4
"""What a chat template adds to each message, and once for the answer's beginning."""
_MOST_CHOICES: Final = 128
# These change how an answer is sent, how much of it, or who pays; not what it says.
_NOT_CONTENT: Final = frozenset({
    "stream", "stream_options", "model", "user", "n", "max_tokens", "max_completion_tokens", "min_tokens", "ignore_eos",
    "stop", "logprobs", "top_logprobs", "metadata", "store", "service_tier", "priority", "request_id",
})  # fmt: skip


class Endpoint(StrEnum):
    """Paths below `/v1` that take questions."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the client offers."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question. `key` depends on everything that shapes its answer and on nothing else."""

    text: str
    question: str
    """The last message of the user; of a plain prompt, all of it."""
    tokens: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    endpoint: Endpoint
    model: str | None
    prompts: Sequence[Prompt]
    choices: int
    """Of each prompt."""
    stream: bool
    include_usage: bool
    max_tokens: int | None
    min_tokens: int
    """At least so many, even if the answer would end before (`min_tokens`, `ignore_eos`)."""
    stop: Sequence[str]
    top_logprobs: int | None
    """None: no log probabilities are wanted."""
    tools: Sequence[Tool]
    must_call: bool
    may_call: bool
    called_tool: str | None
    """The one tool that must be called."""
    base64_embeddings: bool
    answers_tool: bool
    """Whether the last message is a tool's result."""
    json_schema: Mapping[str, Any] | None
    """The answer must be JSON: of this schema, {} for any object."""


def parse(endpoint: Endpoint, body: bytes) -> Asked:
    """Read a request. Raises RequestError."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    if not isinstance(payload, dict):
        raise RequestError("the body is not a JSON object")
    try:
        return _asked(endpoint, payload)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RequestError(f"a field has the wrong form: {error}") from error


def _asked(endpoint: Endpoint, payload: Mapping[str, Any]) -> Asked:
    tools = _tools(payload)
    choice = payload.get("tool_choice") or ("auto" if tools else "none")
    max_tokens = _integer(payload, "max_completion_tokens", least=1) or _integer(payload, "max_tokens", least=1)
    full_length = bool(payload.get("ignore_eos"))
    return Asked(
        endpoint=endpoint,
        model=payload.get("model"),
        prompts=_prompts(endpoint, payload),
        choices=min(_integer(payload, "n", least=1) or 1, _MOST_CHOICES),
        stream=bool(payload.get("stream")),
        include_usage=bool((payload.get("stream_options") or {}).get("include_usage")),
        max_tokens=max_tokens,
        min_tokens=(max_tokens or 0) if full_length else _integer(payload, "min_tokens", least=0) or 0,
        stop=_stop(payload.get("stop")),
        top_logprobs=_top_logprobs(endpoint, payload),
        tools=tools,
        must_call=choice == "required" or isinstance(choice, dict),
        may_call=bool(tools) and choice != "none",
        called_tool=choice["function"]["name"] if isinstance(choice, dict) else None,
        base64_embeddings=payload.get("encoding_format") == "base64",
        answers_tool=_last_role(payload) == "tool",
        json_schema=_json_schema(payload.get("response_format")),
    )


def _prompts(endpoint: Endpoint, payload: Mapping[str, Any]) -> list[Prompt]:
    if endpoint is Endpoint.CHAT:
        return [_chat_prompt(payload)]
    field = "input" if endpoint is Endpoint.EMBEDDINGS else "prompt"
    given = payload.get(field)
    many = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    return [_plain_prompt(one, payload, field=field) for one in many]


def _chat_prompt(payload: Mapping[str, Any]) -> Prompt:
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise RequestError("messages: a list of messages is required")
    texts = [_message_text(message) for message in messages]
    asked = [text for message, text in zip(messages, texts, strict=True) if message.get("role") == "user"]
    offered = orjson.dumps(payload["tools"]).decode() if payload.get("tools") else ""
    counted = sum(tokens.count(text) + _MESSAGE_TOKENS for text in texts) + _MESSAGE_TOKENS + tokens.count(offered)
    return Prompt(text="\n".join((offered, *texts)), question=(asked or texts)[-1], tokens=counted, key=_key(payload))


def _plain_prompt(given: Any, payload: Mapping[str, Any], *, field: str) -> Prompt:
    if isinstance(given, list):  # token ids
        text, counted = " ".join(map(str, given)), len(given)
    elif isinstance(given, str):
        text, counted = given, max(1, tokens.count(given))
    else:
        raise RequestError(f"{field}: a text, a list of token ids, or a list of those is required")
    return Prompt(text=text, question=text, tokens=counted, key=_key({**payload, field: given}))


def _message_text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    calls = message.get("tool_calls")
    return (content or "") + (orjson.dumps(calls).decode() if calls else "")


def _key(payload: Mapping[str, Any]) -> str:
    content = {name: value for name, value in payload.items() if name not in _NOT_CONTENT}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _integer(payload: Mapping[str, Any], name: str, *, least: int) -> int | None:
    value = payload.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError(f"{name}: {value!r} is not a whole number from {least} up")
    return value


def _stop(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise RequestError("stop: a text or a list of texts is required")
    return texts


def _top_logprobs(endpoint: Endpoint, payload: Mapping[str, Any]) -> int | None:
    if endpoint is Endpoint.COMPLETIONS:
        return _integer(payload, "logprobs", least=0)
    if not payload.get("logprobs"):
        return None
    return _integer(payload, "top_logprobs", least=0) or 0


def _tools(payload: Mapping[str, Any]) -> list[Tool]:
    try:
        functions = [tool["function"] for tool in payload.get("tools") or []]
        return [Tool(name=one["name"], parameters=one.get("parameters") or {}) for one in functions]
    except (KeyError, TypeError) as error:
        raise RequestError("tools: each must be {type: function, function: {name, parameters}}") from error


def _last_role(payload: Mapping[str, Any]) -> str | None:
    messages = payload.get("messages")
    return messages[-1].get("role") if isinstance(messages, list) and messages else None


def _json_schema(response_format: Any) -> Mapping[str, Any] | None:
    if not isinstance(response_format, dict):
        return None
    kind = response_format.get("type")
    if kind == "json_schema":
        wrapped = response_format.get("json_schema")
        schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
        if not isinstance(schema, dict):
            raise RequestError("response_format: json_schema needs {name, schema}")
        return schema
    return {} if kind == "json_object" else None
