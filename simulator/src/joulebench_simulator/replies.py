"""Answers in the words of the OpenAI API: chunks of a stream, and whole answers. Pure."""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from joulebench_simulator import __version__
from joulebench_simulator.generation import Choice, Generator, Piece
from joulebench_simulator.requests import Asked, Endpoint

DONE: Final = b"data: [DONE]\n\n"
BROKEN: Final = b'data: {"id": "broken", "choices": [{"index\n\n'
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_OBJECTS: Final = {
    (Endpoint.CHAT, True): "chat.completion.chunk",
    (Endpoint.CHAT, False): "chat.completion",
    (Endpoint.COMPLETIONS, True): "text_completion",
    (Endpoint.COMPLETIONS, False): "text_completion",
}


class Reply:
    """Writes one request's answer. `created` is in seconds since 1970."""

    def __init__(
        self,
        asked: Asked,
        choices: Sequence[Choice],
        *,
        generator: Generator,
        answer_id: str,
        created: int,
        model: str,
        usage: bool = True,
    ) -> None:
        self._asked = asked
        self._choices = choices
        self._generator = generator
        self._id = answer_id
        self._base = {"id": answer_id, "created": created, "model": model}
        self._usage = usage
        self._chat = asked.endpoint is Endpoint.CHAT
        kind = _OBJECTS[asked.endpoint, True]
        head = orjson.dumps({**self._base, "object": kind})[:-1] + b',"choices":[{"index":'
        self._before = [
            b"data: " + head + b"%d," % choice.index + (b'"delta":{"content":' if self._chat else b'"text":')
            for choice in choices
        ]
        self._after = (b"}" if self._chat else b"") + b',"logprobs":null,"finish_reason":null}]}\n\n'
        self._plain = asked.top_logprobs is None

    def opening(self) -> bytes:
        """What comes before the first token: in a chat, each choice's role."""
        if not self._chat:
            return b""
        return b"".join(self._event(choice, {"role": "assistant", "content": ""}) for choice in self._choices)

    def token(self, choice_index: int, at: int) -> bytes:
        """The event of one token."""
        choice = self._choices[choice_index]
        piece = choice.pieces[at]
        if self._plain and piece.call is None:
            return self._before[choice_index] + orjson.dumps(piece.text) + self._after
        first = at == 0 or choice.pieces[at - 1].call != piece.call
        delta = {"content": piece.text} if piece.call is None else {"tool_calls": [_call_delta(choice, piece, first)]}
        logprobs = None if self._plain else self._logprobs(choice, range(at, at + 1))
        return self._event(choice, delta, logprobs=logprobs)

    def closing(self, choice_index: int) -> bytes:
        """Why a choice ended."""
        choice = self._choices[choice_index]
        return self._event(choice, {}, finish_reason=choice.finish_reason)

    def ending(self, *, cached_tokens: int) -> bytes:
        """What comes after all choices: usage, if it was asked for, and the end mark."""
        if not (self._asked.include_usage and self._usage):
            return DONE
        kind = _OBJECTS[self._asked.endpoint, True]
        last = {**self._base, "object": kind, "choices": [], "usage": self.usage(cached_tokens=cached_tokens)}
        return b"data: " + orjson.dumps(last) + b"\n\n" + DONE

    def whole(self, *, cached_tokens: int) -> bytes:
        """The answer for who did not ask for a stream."""
        answer: dict[str, Any] = {**self._base, "object": _OBJECTS[self._asked.endpoint, False]}
        answer["choices"] = [self._whole_choice(choice) for choice in self._choices]
        if self._usage:
            answer["usage"] = self.usage(cached_tokens=cached_tokens)
        return orjson.dumps(answer)

    def usage(self, *, cached_tokens: int) -> dict[str, Any]:
        """Token counts of all choices together."""
        prompts = {id(choice.prompt): choice.prompt.tokens for choice in self._choices}
        prompt, output = sum(prompts.values()), sum(len(choice.pieces) for choice in self._choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached_tokens},
        }

    def _event(
        self, choice: Choice, delta: Mapping[str, Any], *, logprobs: Any = None, finish_reason: str | None = None
    ) -> bytes:
        said = {"delta": delta} if self._chat else {"text": delta.get("content", "")}
        one = {"index": choice.index, **said, "logprobs": logprobs, "finish_reason": finish_reason}
        kind = _OBJECTS[self._asked.endpoint, True]
        return b"data: " + orjson.dumps({**self._base, "object": kind, "choices": [one]}) + b"\n\n"

    def _whole_choice(self, choice: Choice) -> dict[str, Any]:
        logprobs = None if self._plain else self._logprobs(choice, range(len(choice.pieces)))
        said = {"message": _message(choice)} if self._chat else {"text": choice.text}
        return {"index": choice.index, **said, "logprobs": logprobs, "finish_reason": choice.finish_reason}

    def _logprobs(self, choice: Choice, places: range) -> dict[str, Any]:
        most = self._asked.top_logprobs or 0
        if self._chat:
            return {"content": [self._chat_logprob(choice, at, most) for at in places]}
        texts = [choice.pieces[at].text for at in places]
        values = [self._generator.logprob(choice, at) for at in places]
        offset = len("".join(piece.text for piece in choice.pieces[: places.start]))
        offsets = [offset + len("".join(texts[:count])) for count in range(len(texts))]
        top = [dict(_alternatives(text, value, most)) for text, value in zip(texts, values, strict=True)]
        return {"tokens": texts, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}

    def _chat_logprob(self, choice: Choice, at: int, most: int) -> dict[str, Any]:
        text, value = choice.pieces[at].text, self._generator.logprob(choice, at)
        top = [_logprob(other, its) for other, its in _alternatives(text, value, most)]
        return {**_logprob(text, value), "top_logprobs": top}


def embeddings(
    vectors: Sequence[Sequence[float]], *, model: str, prompt_tokens: int, base64_wanted: bool = False
) -> bytes:
    """The answer to a request for embeddings."""

    def shown(vector: Sequence[float]) -> Any:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if base64_wanted else vector

    data = [{"object": "embedding", "index": at, "embedding": shown(vector)} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage})


def models(name: str, *, created: int, max_model_len: int) -> bytes:
    """The list of models: one."""
    entry = {
        "id": name, "object": "model", "created": created, "owned_by": "joulebench", "max_model_len": max_model_len,
    }  # fmt: skip
    return orjson.dumps({"object": "list", "data": [entry]})


def version() -> bytes:
    """Our own release, in the form of vLLM."""
    return orjson.dumps({"version": __version__})


def error(message: str, *, status: int, kind: str) -> bytes:
    """An error in the form of the OpenAI API."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": status}})


def _message(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text or None if choice.tool_calls else choice.text,
    }
    if choice.tool_calls:
        message["tool_calls"] = [
            {
                "id": _call_id(choice, at),
                "type": "function",
                "function": {"name": call.name, "arguments": choice.arguments(at)},
            }
            for at, call in enumerate(choice.tool_calls)
        ]
    return message


def _call_delta(choice: Choice, piece: Piece, first: bool) -> dict[str, Any]:
    at = piece.call or 0
    function: dict[str, Any] = {"arguments": piece.text}
    if not first:
        return {"index": at, "function": function}
    function = {"name": choice.tool_calls[at].name, **function}
    return {"index": at, "id": _call_id(choice, at), "type": "function", "function": function}


def _call_id(choice: Choice, at: int) -> str:
    return f"call_{choice.prompt.key[:16]}_{choice.index}_{at}"


def _logprob(text: str, value: float) -> dict[str, Any]:
    return {"token": text, "logprob": value, "bytes": list(text.encode())}


def _alternatives(text: str, value: float, most: int) -> list[tuple[str, float]]:
    """The token itself and made-up ones that are less probable."""
    return [(text if at == 0 else f"{text}~{at}", round(value - at, 4)) for at in range(most)]
