"""From a request to the tokens of its answers, before any of them is computed. Pure.

So an answer depends on the seed and the request alone; batching decides only when its tokens come.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from joulebench_simulator import schemas, tokens
from joulebench_simulator.answers import Answer, Answerer, ToolCall
from joulebench_simulator.errors import RequestError
from joulebench_simulator.randomness import fraction, generator
from joulebench_simulator.requests import Asked, Prompt

FinishReason = Literal["stop", "length", "tool_calls"]
EMBEDDING_SIZE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One token: of the text, or of the arguments of the `call`th tool call (None: of the text)."""

    text: str
    call: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer."""

    index: int
    prompt: Prompt
    pieces: Sequence[Piece]
    finish_reason: FinishReason
    tool_calls: Sequence[ToolCall] = ()

    @property
    def text(self) -> str:
        """What is said, without tool calls."""
        return "".join(piece.text for piece in self.pieces if piece.call is None)

    def arguments(self, call: int) -> str:
        """The arguments of a tool call, as far as they came."""
        return "".join(piece.text for piece in self.pieces if piece.call == call)


class Generator:
    """Decides what is answered."""

    def __init__(self, answerer: Answerer, *, seed: int, max_model_len: int, tool_calls: float = 0.0) -> None:
        """`tool_calls`: how probable it is that an offered tool is called where nothing says whether to."""
        self._answerer = answerer
        self._seed = seed
        self._max_model_len = max_model_len
        self._tool_calls = tool_calls

    def choices(self, asked: Asked) -> list[Choice]:
        """All answers of a request. Raises RequestError for a prompt that leaves no room for one."""
        return [
            self._choice(asked, prompt, index=place * asked.choices + number, number=number)
            for place, prompt in enumerate(asked.prompts)
            for number in range(asked.choices)
        ]

    def check_length(self, prompt: Prompt, *, room: int = 1) -> None:
        """Raise RequestError for a prompt that is too long."""
        if prompt.tokens + room > self._max_model_len:
            raise RequestError(
                f"the maximum context length is {self._max_model_len} tokens, but the prompt has {prompt.tokens}"
            )

    def embedding(self, prompt: Prompt) -> list[float]:
        """A unit vector."""
        random = generator(self._seed, "embedding", prompt.text)
        vector = [random.gauss(0.0, 1.0) for _ in range(EMBEDDING_SIZE)]
        length = math.sqrt(sum(value * value for value in vector))
        return [value / length for value in vector]

    def logprob(self, choice: Choice, at: int) -> float:
        """The log probability of a token."""
        return round(math.log(1.0 - 0.9 * fraction(self._seed, "logprob", choice.prompt.key, choice.index, at)), 4)

    def _choice(self, asked: Asked, prompt: Prompt, *, index: int, number: int) -> Choice:
        self.check_length(prompt)
        most = self._max_model_len - prompt.tokens
        most = most if asked.max_tokens is None else min(most, asked.max_tokens)
        answer = self._answer(asked, prompt, number=number)
        text, stopped = _until_stop(answer.text, asked.stop)
        pieces = [Piece(text=token) for token in tokens.split(text)]
        for call_index, call in enumerate(answer.tool_calls):
            pieces += [Piece(text=token, call=call_index) for token in tokens.split(call.arguments)]
        least = min(asked.min_tokens, most)
        if len(pieces) < least and not stopped:
            pieces += self._more(prompt, least - len(pieces), number=number)
        # An answer of no tokens still needs one step to be found empty.
        pieces = pieces or [Piece(text="")]
        reason: FinishReason = "tool_calls" if answer.tool_calls else "stop"
        finish: FinishReason = "length" if len(pieces) > most or (least and len(pieces) == most) else reason
        return Choice(
            index=index, prompt=prompt, pieces=pieces[:most], finish_reason=finish, tool_calls=answer.tool_calls
        )

    def _answer(self, asked: Asked, prompt: Prompt, *, number: int) -> Answer:
        answer = self._answerer.answer(prompt, choice=number)
        if answer is None:
            raise RequestError("nobody knows an answer", status=500, kind="internal_error")
        if answer.tool_calls and asked.may_call:
            return answer
        if self._calls_tool(asked, prompt, number=number):
            return Answer(tool_calls=(self._tool_call(asked, prompt, number=number),))
        text = answer.text if asked.json_schema is None else self._json(asked.json_schema, answer.text, prompt, number)
        return Answer(text=text)

    def _calls_tool(self, asked: Asked, prompt: Prompt, *, number: int) -> bool:
        if asked.must_call:
            return bool(asked.tools)
        if not asked.may_call or asked.answers_tool:
            return False
        return fraction(self._seed, "calls", prompt.key, number) < self._tool_calls

    def _tool_call(self, asked: Asked, prompt: Prompt, *, number: int) -> ToolCall:
        random = generator(self._seed, "tool", prompt.key, number)
        named = [tool for tool in asked.tools if tool.name == asked.called_tool]
        tool = named[0] if named else random.choice(asked.tools)
        arguments = schemas.value({"type": "object", **tool.parameters}, random)
        return ToolCall(name=tool.name, arguments=orjson.dumps(arguments).decode())

    def _json(self, schema: Any, text: str, prompt: Prompt, number: int) -> str:
        if _is_json_object(text):
            return text
        if not schema:
            return orjson.dumps({"answer": text}).decode()
        return orjson.dumps(schemas.value(schema, generator(self._seed, "json", prompt.key, number))).decode()

    def _more(self, prompt: Prompt, count: int, *, number: int) -> list[Piece]:
        random = generator(self._seed, "more", prompt.key, number)
        return [Piece(text=f" {word}") for word in random.choices(schemas.WORDS, k=count)]


def _until_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop sequence, and whether there was one."""
    places = [text.find(mark) for mark in stop if mark in text]
    return (text[: min(places)], True) if places else (text, False)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
