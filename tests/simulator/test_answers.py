"""What is answered: by seed and request alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_simulator import tokens
from joulebench_simulator.answers import Answerer, Drawn, Echo, Entry, FirstOf, Scripted, read_answers
from joulebench_simulator.errors import BadOptionError, RequestError
from joulebench_simulator.generation import Choice, Generator
from joulebench_simulator.requests import Asked, Endpoint, parse

ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


def ask(text: str = "What is 2 + 3?", **more: Any) -> Asked:
    payload = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return parse(Endpoint.CHAT, json.dumps(payload).encode())


def answer(asked: Asked, answerer: Answerer | None = None, *, seed: int = 1, **options: Any) -> list[Choice]:
    made = Generator(answerer or Drawn(seed=seed), seed=seed, max_model_len=4096, **options)
    return made.choices(asked)


def text(asked: Asked, answerer: Answerer | None = None, **options: Any) -> str:
    return answer(asked, answerer, **options)[0].text


@given(st.text())
def test_tokens_are_the_text(value: str) -> None:
    assert "".join(tokens.split(value)) == value


def test_the_same_seed_and_question_give_the_same_answer() -> None:
    assert text(ask()) == text(ask())
    assert text(ask()) != text(ask(), seed=2)
    assert text(ask()) != text(ask("And 3 + 4?"))


@pytest.mark.parametrize(
    "change", [{"stream": True}, {"model": "other"}, {"n": 3}, {"user": "me"}, {"logprobs": True}, {"max_tokens": 500}]
)
def test_how_an_answer_is_sent_does_not_change_what_it_says(change: dict[str, Any]) -> None:
    assert text(ask(**change)) == text(ask())


def test_choices_differ_from_each_other() -> None:
    assert len({choice.text for choice in answer(ask(n=3))}) == 3


def test_echo_says_the_question_again_with_all_its_signs() -> None:
    assert text(ask("Grüße, 世界 🌍!"), Echo()) == "Grüße, 世界 🌍!"


def test_an_answer_is_cut_at_max_tokens() -> None:
    (choice,) = answer(ask("one two three four", max_tokens=2), Echo())
    assert (choice.text, choice.finish_reason) == ("one two", "length")


def test_an_answer_ends_before_a_stop_sequence() -> None:
    (choice,) = answer(ask("one two three four", stop=["four", "three"]), Echo())
    assert (choice.text, choice.finish_reason) == ("one two ", "stop")


@pytest.mark.parametrize("options", [{"ignore_eos": True}, {"min_tokens": 300}])
def test_an_answer_can_be_made_long(options: dict[str, Any]) -> None:
    (choice,) = answer(ask("hi", max_tokens=300, **options), Echo())
    assert len(choice.pieces) == 300


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(RequestError, match="maximum context length is 4096 tokens, but the prompt has 500"):
        answer(ask("word " * 5000))


def test_json_mode_gives_an_object() -> None:
    assert json.loads(text(ask(response_format={"type": "json_object"}), Echo())) == {"answer": "What is 2 + 3?"}


def test_a_schema_is_kept() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"}, "age": {"type": "integer", "minimum": 3, "maximum": 4},
            "tags": {"type": "array", "items": {"enum": ["x"]}, "minItems": 2}, "ok": {"type": "boolean"},
            "of": {"anyOf": [{"type": "null"}]}, "size": {"type": "number"}, "const": {"const": 7},
        },
    }  # fmt: skip
    said = json.loads(
        text(ask(response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}))
    )
    assert set(said) == set(schema["properties"])
    assert said["age"] in {3, 4}
    assert (said["tags"], said["of"], said["const"]) == (["x", "x"], None, 7)
    assert isinstance(said["name"], str)
    assert isinstance(said["ok"], bool)
    assert isinstance(said["size"], float)


def test_a_required_tool_is_called_with_arguments_of_its_schema() -> None:
    (choice,) = answer(ask(tools=[ADD], tool_choice="required"))
    assert (choice.finish_reason, choice.tool_calls[0].name) == ("tool_calls", "add")
    assert isinstance(json.loads(choice.arguments(0))["a"], int)


def test_an_offered_tool_is_called_as_often_as_told() -> None:
    called = [answer(ask(f"q{at}", tools=[ADD]), tool_calls=0.5)[0].finish_reason for at in range(200)]
    assert 70 < called.count("tool_calls") < 130
    assert answer(ask(tools=[ADD], tool_choice="none"), tool_calls=1.0)[0].finish_reason == "stop"


def test_after_a_tools_result_words_are_said() -> None:
    messages = [{"role": "user", "content": "q"}, {"role": "tool", "content": "5", "tool_call_id": "1"}]
    assert answer(ask(tools=[ADD], messages=messages), tool_calls=1.0)[0].finish_reason == "stop"


def scripted(*entries: Entry, right: float = 1.0, seed: int = 1) -> Answerer:
    return FirstOf([Scripted(entries=entries, seed=seed, right=right), Echo()])


def test_a_script_answers_what_it_knows() -> None:
    known = scripted(
        Entry(prompt="a", answer="1"), Entry(contains="bee", answer="2"), Entry(sha256="2e7d2c", answer="3")
    )
    assert [text(ask(question), known) for question in ("a", "a bee!", "c", "d")] == ["1", "2", "3", "d"]


def test_right_with_probability_p() -> None:
    known = scripted(*(Entry(prompt=f"q{at}", answer=f"The answer is {at}.") for at in range(300)), right=0.7)
    right = [text(ask(f"q{at}"), known) == f"The answer is {at}." for at in range(300)]
    assert 180 < sum(right) < 240
    wrong = right.index(False)
    assert text(ask(f"q{wrong}"), known).startswith("The answer is ")


def test_a_wrong_answer_is_the_scripts_own_or_none_at_all() -> None:
    own = scripted(Entry(prompt="q", answer="yes", wrong="no"), right=0.0)
    assert text(ask("q"), own) == "no"
    assert "yes" not in text(ask("q"), scripted(Entry(prompt="q", answer="yes"), right=0.0))


def test_words_can_come_before_what_the_script_says() -> None:
    known = Scripted(entries=[Entry(prompt="q", answer="5")], seed=1, preface_words=(4, 4))
    assert text(ask("q"), known).endswith(". 5")
    assert len(text(ask("q"), known).split()) == 5


def test_a_file_of_answers_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "q", "tool_calls": [{"name": "add", "arguments": {"a": 1}}]}\n\n{"contains": "x"}\n')
    first, second = read_answers(file)
    assert (first.tool_calls[0].arguments, second.contains) == ('{"a":1}', "x")
    (choice,) = answer(ask("q", tools=[ADD]), Scripted(entries=[first], seed=0))
    assert (choice.finish_reason, choice.arguments(0)) == ("tool_calls", '{"a":1}')


@pytest.mark.parametrize("line", ["{", "[]", '{"answer": "5"}', '{"prompt": "q", "anser": "5"}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f'{{"prompt": "q"}}\n{line}\n')
    with pytest.raises(BadOptionError, match=r"a\.jsonl, line 2: not"):
        read_answers(file)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"), (b"[]", "not a JSON object"), (b"{}", "messages: a list"),
        (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', "max_tokens: 0 is not"),
        (b'{"messages": [{"role": "user", "content": "x"}], "n": true}', "n: True is not"),
        (b'{"messages": [{"role": "user", "content": "x"}], "stop": [1]}', "stop: a text"),
        (b'{"messages": [{"role": "user", "content": "x"}], "tools": [{}]}', "tools: each must be"),
        (b'{"messages": [{"role": "user", "content": "x"}], "tool_choice": {"a": 1}}', "a field has the wrong form"),
        (b'{"messages": [{"role": "user", "content": "x"}], "stream_options": 3}', "a field has the wrong form"),
        (b'{"messages": [{"role": "user", "content": 7}]}', "a field has the wrong form"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse(Endpoint.CHAT, body)
