"""Putting a streamed answer together: what the server would have said unstreamed."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.meter.assemble import assemble
from joulebench_runner.meter.chunks import has_content, is_usage_only, usage_of


def chat(*deltas: dict[str, Any], finish: str | None = "stop", index: int = 0) -> list[dict[str, Any]]:
    pieces: list[dict[str, Any]] = [
        {"index": index, "delta": delta, "finish_reason": None} for delta in ({"role": "assistant"}, *deltas)
    ]
    pieces.append({"index": index, "delta": {}, "finish_reason": finish})
    return [{"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [piece]} for piece in pieces]


def message_of(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = assemble(chunks)["choices"][0]["message"]
    return message


@given(text=st.text(max_size=200), data=st.data())
def test_a_text_in_any_pieces_is_the_text(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    answer = assemble(chat(*({"content": piece} for piece in pieces)))
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    ]


def test_reasoning_and_refusal_are_texts_of_their_own() -> None:
    chunks = chat({"reasoning_content": "hm"}, {"reasoning_content": "m"}, {"content": "4"}, {"reasoning": "x"})
    assert message_of(chunks) == {"role": "assistant", "reasoning_content": "hmm", "content": "4", "reasoning": "x"}
    assert message_of(chat({"refusal": "I "}, {"refusal": "won't"})) == {
        "role": "assistant",
        "refusal": "I won't",
        "content": None,
    }


def test_an_answer_without_a_word_is_empty_not_null() -> None:
    assert message_of(chat({"content": None}))["content"] == ""


def test_tool_calls_are_gathered_by_their_index() -> None:
    def piece(index: int, **fields: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **fields}]}

    chunks = chat(
        piece(1, id="b", type="function", function={"name": "second", "arguments": ""}),
        piece(0, id="a", type="function", function={"name": "first", "arguments": '{"x"'}),
        piece(1, function={"arguments": "{}"}),
        piece(0, id="", function={"name": None, "arguments": ":1}"}),
        finish="tool_calls",
    )
    assert message_of(chunks) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "first", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "second", "arguments": "{}"}},
        ],
    }


def test_two_tool_calls_in_one_delta_stay_two() -> None:
    calls = [{"index": index, "id": str(index), "function": {"name": "f", "arguments": "{}"}} for index in (0, 1)]
    assert [call["id"] for call in message_of(chat({"tool_calls": calls}))["tool_calls"]] == ["0", "1"]


def test_the_older_function_call_is_joined_too() -> None:
    chunks = chat({"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}})
    assert message_of(chunks)["function_call"] == {"name": "f", "arguments": "{}"}


def test_logprobs_of_chats_are_lined_up() -> None:
    def piece(token: str) -> dict[str, Any]:
        logprobs = {"content": [{"token": token, "logprob": -1.5, "top_logprobs": []}], "refusal": None}
        return {"choices": [{"index": 0, "delta": {"content": token}, "logprobs": logprobs, "finish_reason": None}]}

    last = {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]}
    logprobs = assemble([piece("a"), piece("b"), last])["choices"][0]["logprobs"]
    assert [entry["token"] for entry in logprobs["content"]] == ["a", "b"]
    assert logprobs["refusal"] is None


def test_logprobs_of_completions_are_lined_up() -> None:
    def piece(text: str, offset: int) -> dict[str, Any]:
        logprobs = {"tokens": [text], "token_logprobs": [-0.5], "text_offset": [offset], "top_logprobs": [{text: -0.5}]}
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": None}
        return {"object": "text_completion", "choices": [choice]}

    end = {
        "object": "text_completion",
        "choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}],
    }
    answer = assemble([piece("a", 0), piece("b", 1), end])
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "text": "ab",
            "logprobs": {
                "tokens": ["a", "b"],
                "token_logprobs": [-0.5, -0.5],
                "text_offset": [0, 1],
                "top_logprobs": [{"a": -0.5}, {"b": -0.5}],
            },
            "finish_reason": "stop",
        }
    ]


@given(order=st.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2]))
def test_choices_that_come_mixed_are_kept_apart(order: list[int]) -> None:
    chunks = [{"choices": [{"index": index, "delta": {"content": str(index)}}]} for index in order]
    answer = assemble(chunks)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["000", "111", "222"]


def test_usage_and_fields_nobody_knows_are_kept() -> None:
    chunks = chat({"content": "a", "annotations": [{"n": 1}]}, {"annotations": [{"n": 2}]})
    chunks[0]["system_fingerprint"] = "f"
    chunks.append({"choices": [], "usage": {"prompt_tokens": 1}, "timings": {"predicted_ms": 3.5}, "id": "other"})
    answer = assemble(chunks)
    assert answer["usage"] == {"prompt_tokens": 1}
    assert answer["timings"] == {"predicted_ms": 3.5}
    assert (answer["id"], answer["system_fingerprint"]) == ("c", "f")
    assert answer["choices"][0]["message"]["annotations"] == [{"n": 1}, {"n": 2}]


def test_choice_fields_nobody_knows_are_kept() -> None:
    chunks = [
        {"choices": [{"index": 0, "text": "a", "token_ids": [1], "stop_reason": None}]},
        {"choices": [{"index": 0, "text": "b", "token_ids": [2], "stop_reason": "###", "finish_reason": "stop"}]},
    ]
    (choice,) = assemble(chunks)["choices"]
    assert (choice["token_ids"], choice["stop_reason"]) == ([1, 2], "###")


def test_assembling_does_not_change_the_chunks() -> None:
    chunks = chat({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, {"content": "a"})
    before = orjson.dumps(chunks)
    assemble(chunks)
    assert orjson.dumps(chunks) == before


def test_what_counts_as_content() -> None:
    assert has_content({"choices": [{"delta": {"content": "a"}}]})
    assert has_content({"choices": [{"delta": {"reasoning_content": "a"}}]})
    assert has_content({"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]})
    assert has_content({"choices": [{"text": "a"}]})
    assert not has_content({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    assert not has_content({"choices": [{"text": ""}]})
    assert not has_content({"choices": []})


def test_only_real_counts_are_usage() -> None:
    usage = usage_of({"usage": {"prompt_tokens": 3, "completion_tokens": True, "prompt_tokens_details": None}})
    assert usage is not None
    assert (usage.prompt_tokens, usage.output_tokens, usage.cached_prompt_tokens) == (3, None, None)
    assert usage_of({"usage": None}) is None
    assert usage_of({"usage": {"prompt_tokens": -1, "completion_tokens": "7"}}) is None
    assert is_usage_only({"choices": [], "usage": {}})
    assert not is_usage_only({"choices": [{}], "usage": {}})
    assert not is_usage_only({"choices": [], "usage": None})
