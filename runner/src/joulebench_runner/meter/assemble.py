"""From the chunks of a stream to the answer that the server would have given unstreamed. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from joulebench_runner.meter.chunks import JsonObject

# Each chunk repeats these whole; all other texts of a delta are pieces to be joined.
_WHOLE: Final = frozenset({"role", "type", "id", "name", "object"})
_FIRST_WINS: Final = frozenset({"id", "created", "model"})


class Assembler:
    """Takes chunks one by one, for chat completions and completions alike."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def feed(self, chunk: JsonObject) -> None:
        """Take the next chunk of the stream, in order."""
        for key, value in chunk.items():
            if key == "choices":
                self._feed_choices(value)
            elif self._top.get(key) is None or (value is not None and key not in _FIRST_WINS):
                self._top[key] = value

    def answer(self) -> dict[str, Any]:
        """The unstreamed answer to what came so far."""
        answer = dict(self._top)
        if isinstance(answer.get("object"), str):
            answer["object"] = answer["object"].removesuffix(".chunk")
        answer["choices"] = [_finished(self._choices[index]) for index in sorted(self._choices)]
        return answer

    def _feed_choices(self, choices: Any) -> None:
        for piece in choices if isinstance(choices, list) else ():
            index = piece.get("index", 0)
            choice = self._choices.setdefault(index, {"index": index})
            for key, value in piece.items():
                if key == "delta":
                    _merge(choice.setdefault("delta", {}), value or {})
                elif key == "text":
                    choice["text"] = choice.get("text", "") + (value or "")
                elif isinstance(value, Mapping | list):
                    _merge(choice, {key: value})
                elif value is not None or key not in choice:
                    choice[key] = value


def assemble(chunks: Iterable[JsonObject]) -> dict[str, Any]:
    """The unstreamed answer that a whole stream stands for."""
    assembler = Assembler()
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler.answer()


def _merge(into: dict[str, Any], piece: JsonObject) -> None:
    """Add a piece of an object: texts are joined, lists lengthened, objects merged, all else replaced."""
    for key, value in piece.items():
        known = into.get(key)
        if known is None:
            into[key] = _copy(value)
        elif isinstance(known, str) and isinstance(value, str) and key not in _WHOLE:
            into[key] = known + value
        elif isinstance(known, list) and isinstance(value, list):
            _lengthen(known, value)
        elif isinstance(known, dict) and isinstance(value, Mapping):
            _merge(known, value)
        elif value is not None and value != "":
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    """A value of our own to add to, with the items of lists put where their `index` says."""
    if isinstance(value, Mapping):
        fresh: dict[str, Any] = {}
        _merge(fresh, value)
        return fresh
    if isinstance(value, list):
        items: list[Any] = []
        _lengthen(items, value)
        return items
    return value


def _lengthen(items: list[Any], more: list[Any]) -> None:
    """Add to a list; items with an `index` (tool calls) go to the item of the same index."""
    for item in more:
        if isinstance(item, Mapping) and isinstance(item.get("index"), int):
            same = next((known for known in items if known.get("index") == item["index"]), None)
            if same is not None:
                _merge(same, item)
                continue
        items.append(_copy(item) if isinstance(item, Mapping) else item)


def _finished(choice: Mapping[str, Any]) -> dict[str, Any]:
    finished = {key: value for key, value in choice.items() if key != "delta"}
    if "delta" in choice:
        finished["message"] = _message(choice["delta"])
    return finished


def _message(delta: Mapping[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant"} | dict(delta)
    calls = message.get("tool_calls")
    if calls:
        calls = sorted(calls, key=lambda call: call.get("index", 0))
        message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    if message.get("content") is None:
        # Streams open with null; an answer without a word is an empty text unless something else took its place.
        other = calls or message.get("function_call") or message.get("refusal") or message.get("audio")
        message["content"] = None if other else ""
    return message
