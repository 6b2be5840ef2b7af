"""The server as a process: what goes over the wire."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from joulebench_api.contracts.device_file import DeviceFileReader, DeviceFileWriter, DeviceIdentity, DeviceState
from joulebench_simulator import __version__

DEADLINE_SECONDS = 20.0
CHAT = "/v1/chat/completions"
Start = Callable[..., Any]


def body(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def post(
    simulator: Any, payload: dict[str, Any], *, path: str = CHAT, headers: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(simulator.url + path, json=payload, headers=headers) as response,
    ):
        return response.status, await response.read(), dict(response.headers)


async def answer(simulator: Any, payload: dict[str, Any], **options: Any) -> dict[str, Any]:
    status, content, _ = await post(simulator, payload, **options)
    assert status == 200, content
    found: dict[str, Any] = json.loads(content)
    return found


async def stream(simulator: Any, payload: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    """The chunks of a whole stream."""
    status, content, _ = await post(simulator, payload | {"stream": True}, **options)
    assert status == 200, content
    *events, done, empty = content.decode().split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def said(chunks: list[dict[str, Any]]) -> str:
    return "".join(one["delta"].get("content", "") for chunk in chunks for one in chunk["choices"])


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "not within the deadline"
        await asyncio.sleep(0.01)


async def test_a_stream_says_the_same_as_a_whole_answer(simulator: Any) -> None:
    whole = await answer(simulator, body())
    chunks = await stream(simulator, body(stream_options={"include_usage": True}))
    assert said(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert whole["usage"]["completion_tokens"] == len(chunks) - 3


async def test_usage_comes_in_a_stream_only_if_asked_for(simulator: Any) -> None:
    assert all("usage" not in chunk for chunk in await stream(simulator, body()))


async def test_tool_calls_are_streamed_in_parts(simulator: Any) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"a": {"type": "integer"}}}}}
    asked = body(tools=[tool], tool_choice="required")
    (call,) = (await answer(simulator, asked))["choices"][0]["message"]["tool_calls"]
    chunks = await stream(simulator, asked)
    parts = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert (parts[0]["id"], parts[0]["function"]["name"]) == (call["id"], "add")
    assert "".join(part["function"]["arguments"] for part in parts) == call["function"]["arguments"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_several_choices_and_their_log_probabilities(simulator: Any) -> None:
    found = await answer(simulator, body(n=2, logprobs=True, top_logprobs=2, max_tokens=3))
    assert [choice["index"] for choice in found["choices"]] == [0, 1]
    for choice in found["choices"]:
        tokens = choice["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
        assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in tokens)
    chunks = await stream(simulator, body(n=2, max_tokens=3))
    texts = ["", ""]
    for chunk in chunks:
        for one in chunk["choices"]:
            texts[one["index"]] += one["delta"].get("content", "")
    assert texts == [choice["message"]["content"] for choice in found["choices"]]


async def test_completions_of_several_prompts(simulator: Any) -> None:
    found = await answer(simulator, {"prompt": ["a b", "c"], "max_tokens": 2, "logprobs": 1}, path="/v1/completions")
    assert [choice["index"] for choice in found["choices"]] == [0, 1]
    assert found["usage"]["prompt_tokens"] == 3
    assert found["choices"][0]["logprobs"]["text_offset"][0] == 0


async def test_embeddings_are_unit_vectors_of_their_text(simulator: Any) -> None:
    found = await answer(simulator, {"input": ["a", "b", "a"]}, path="/v1/embeddings")
    first, second, third = (entry["embedding"] for entry in found["data"])
    assert first == third != second
    assert sum(value * value for value in first) == pytest.approx(1.0)
    assert found["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@pytest.mark.parametrize(
    ("path", "payload", "status"),
    [
        ("/v1/nothing", {}, 404), (CHAT, {}, 400), (CHAT, body(model="other"), 404),
        (CHAT, body("word " * 40_000), 400), (CHAT, body(max_tokens=-1), 400),
    ],
)  # fmt: skip
async def test_bad_requests_are_refused_in_the_apis_words(
    simulator: Any, path: str, payload: dict[str, Any], status: int
) -> None:
    found, content, _ = await post(simulator, payload, path=path)
    assert (found, json.loads(content)["error"]["code"]) == (status, status)


async def test_it_serves_on_ipv6(start: Start) -> None:
    simulator = start("--host", "::1")
    assert simulator.url.startswith("http://[::1]:")
    assert (await post(simulator, body(max_tokens=1)))[0] == 200


async def test_a_schema_that_makes_no_sense_gets_an_answer_too(simulator: Any) -> None:
    wrong = {"type": "json_schema", "json_schema": {"schema": {"properties": 3}}}
    status, content, _ = await post(simulator, body(response_format=wrong))
    assert (status, json.loads(content)["error"]["type"]) == (500, "internal_error")


async def test_one_connection_serves_many_requests(simulator: Any) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        for at in range(3):
            async with session.post(simulator.url + CHAT, json=body(f"{at}")) as response:
                assert response.status == 200
                await response.read()
                assert response.headers.get("Connection") is None


async def test_the_metrics_have_vllms_names(simulator: Any) -> None:
    async with aiohttp.ClientSession() as session, session.get(simulator.url + "/metrics") as response:
        page = await response.text()
    for name in (
        "num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "prompt_tokens_total",
        "generation_tokens_total", "num_preemptions_total", "time_to_first_token_seconds_bucket",
        "e2e_request_latency_seconds_sum", "request_success_total",
    ):  # fmt: skip
        assert f"vllm:{name}{{" in page


async def test_the_answer_does_not_depend_on_what_else_goes_on(start: Start) -> None:
    simulator = start("--speed", "50", "--kv-cache-tokens", "256", "--max-num-seqs", "5")
    questions = [f"question {at}" for at in range(24)]
    alone = [said(await stream(simulator, body(question))) for question in questions]
    together = await asyncio.gather(*(stream(simulator, body(question)) for question in reversed(questions)))
    assert [said(chunks) for chunks in together] == alone[::-1]


async def test_the_log_holds_every_request_with_its_true_energy(start: Start) -> None:
    simulator = start("--speed", "20")
    reader = DeviceFileReader(simulator.device)
    began = reader.energy_uj_at(time.monotonic_ns()), time.monotonic_ns()
    headers = {"X-Request-Id": "0123456789abcdef.2.fedcba9876543210"}
    await asyncio.gather(*(answer(simulator, body(f"{at}"), headers=headers) for at in range(8)))
    ended = reader.energy_uj_at(time.monotonic_ns()), time.monotonic_ns()
    lines = simulator.log
    assert len(lines) == 8
    assert {(line["query_id"], line["attempt"], line["call_id"]) for line in lines} == {
        ("0123456789abcdef", 2, "fedcba9876543210")
    }
    true_mj = sum(line["energy_mj"] for line in lines)
    resting_mj = 120_000 * (ended[1] - began[1]) / 1e9
    active_mj = (ended[0] - began[0]) / 1000 - resting_mj
    assert active_mj < true_mj <= active_mj + resting_mj


async def test_devices_that_a_container_was_given_stay_what_they_are_and_share_the_work(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = [DeviceIdentity(uuid=f"GPU-{at}", name="Another GPU", memory_bytes=at + 1) for at in range(3)]
    paths = [tmp_path / f"{one.uuid}.device" for one in identities]
    for path, identity in zip(paths, identities, strict=True):
        writer = DeviceFileWriter(path, identity=identity, resting_power_mw=0)
        now_ns, _ = writer.newest
        used = DeviceState(time_ns=now_ns, energy_mj=5, power_mw=0, resting_power_mw=0)
        writer.write(used, points=[(now_ns, 5_000)])
        writer.close()
    inodes = [path.stat().st_ino for path in paths]
    monkeypatch.setenv("JOULEBENCH_SIMULATOR_DEVICES", ":".join(map(str, paths)))

    simulator = start("--resting-watts", "0", "--speed", "20")
    await answer(simulator, body("a question"))

    readers = [DeviceFileReader(path) for path in paths]
    assert [reader.identity for reader in readers] == identities
    assert [path.stat().st_ino for path in paths] == inodes, "a mounted file cannot be replaced"
    (line,) = simulator.log
    now_ns = time.monotonic_ns() + 10**9
    used_uj = [reader.energy_uj_at(now_ns) - 5_000 for reader in readers]
    assert sum(used_uj) == round(line["energy_mj"] * 1000)
    # Each step is split as evenly as whole microjoules can be.
    assert max(used_uj) - min(used_uj) < sum(used_uj) / 100


def test_a_given_device_must_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.device").write_text("no device")
    monkeypatch.setenv("JOULEBENCH_SIMULATOR_DEVICES", str(tmp_path / "no.device"))
    command = [sys.executable, "-m", "joulebench_simulator", "--port", "0"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert refused.returncode == 2
    assert f"{tmp_path}/no.device is not a device file" in refused.stderr


async def test_a_client_that_goes_away_frees_its_place(start: Start) -> None:
    simulator = start("--words", "5000-5000", "--max-num-seqs", "1")
    async with aiohttp.ClientSession() as session:
        async with session.post(simulator.url + CHAT, json=body(stream=True)) as response:
            await response.content.readany()
        # leaving the block closes the connection

        async def free() -> bool:
            async with session.get(simulator.url + "/metrics") as page:
                text = await page.text()
            return 'num_requests_running{engine="0",model_name="simulator"} 0.0' in text

        await eventually(free)
    assert [line["outcome"] for line in simulator.log] == ["cancelled"]


async def test_cached_beginnings_are_reported(start: Start) -> None:
    simulator = start("--speed", "unlimited", "--prefix-cache")
    long = "a long question about the same thing again " * 10
    cached = [
        (await answer(simulator, body(long)))["usage"]["prompt_tokens_details"]["cached_tokens"] for _ in range(2)
    ]
    assert cached[0] == 0
    assert cached[1] >= 64


async def test_a_key_is_asked_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEBENCH_SIMULATOR_API_KEY", "secret")
    simulator = start()
    assert (await post(simulator, body()))[0] == 401
    assert (await post(simulator, body(max_tokens=1), headers={"Authorization": "Bearer secret"}))[0] == 200


async def test_whoever_has_no_key_is_told_its_version(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEBENCH_SIMULATOR_API_KEY", "secret")
    simulator = start()
    async with aiohttp.ClientSession() as session, session.get(simulator.url + "/version") as response:
        assert (response.status, await response.json()) == (200, {"version": __version__})


async def test_it_ends_on_sigterm_and_its_device_goes_on_resting(start: Start) -> None:
    simulator = start()
    simulator.process.send_signal(signal.SIGTERM)
    assert simulator.process.wait(DEADLINE_SECONDS) == 0
    reader = DeviceFileReader(simulator.device)
    now = time.monotonic_ns()
    assert reader.energy_uj_at(now + 10**9) - reader.energy_uj_at(now) == pytest.approx(120_000_000, abs=1)


async def test_it_ends_with_its_standard_input(start: Start) -> None:
    simulator = start()
    simulator.process.stdin.close()
    assert simulator.process.wait(DEADLINE_SECONDS) == 0
    simulator.process.stdin = None


# --- faults -----------------------------------------------------------------------------------------------------------


def fault(rule: str) -> dict[str, str]:
    return {"X-Joulebench-Fault": rule}


async def test_an_error_status_and_when_to_come_back(simulator: Any) -> None:
    status, content, headers = await post(simulator, body(), headers=fault("status,code=429,retry-after=3"))
    assert (status, headers["Retry-After"]) == (429, "3")
    assert json.loads(content)["error"]["code"] == 429


async def test_faults_by_number_leave_the_others_alone(start: Start) -> None:
    simulator = start("--speed", "unlimited", "--fault", "status,code=503,requests=2-3")
    assert [(await post(simulator, body()))[0] for _ in range(4)] == [200, 503, 503, 200]


async def test_a_stream_that_is_cut_off(simulator: Any) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(simulator, body(stream=True), headers=fault("close,chunks=2"))


async def test_an_answer_that_is_cut_off(simulator: Any) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(simulator, body(), headers=fault("close"))


async def test_an_event_that_is_no_json(simulator: Any) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(simulator.url + CHAT, json=body(stream=True), headers=fault("broken,chunks=1")) as response,
    ):
        lines = [await response.content.readline() for _ in range(5)]
    assert lines[0].startswith(b'data: {"id":')
    assert lines[4] == b'data: {"id": "broken", "choices": [{"index\n'


async def test_pieces_that_cut_characters_still_make_the_whole(start: Start) -> None:
    simulator = start("--speed", "unlimited", "--answer-with", "echo")
    chunks = await stream(simulator, body("Grüße 世界"), headers=fault("split"))
    assert said(chunks) == "Grüße 世界"


async def test_no_usage_and_another_models_name(simulator: Any) -> None:
    asked = body(stream_options={"include_usage": True})
    assert all("usage" not in chunk for chunk in await stream(simulator, asked, headers=fault("no-usage")))
    assert (await answer(simulator, body(), headers=fault("wrong-model")))["model"] == "not-simulator"


async def test_an_answer_that_begins_late(simulator: Any) -> None:
    began = time.monotonic()
    await answer(simulator, body(), headers=fault("slow,delay=200ms"))
    assert time.monotonic() - began >= 0.2


async def test_an_answer_that_never_comes(simulator: Any) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await post(simulator, body(), headers=fault("hang"))


async def test_a_server_that_starts_slowly_says_so(start: Start) -> None:
    simulator = start("--start-delay", "300ms")

    async def healthy() -> bool:
        async with aiohttp.ClientSession() as session, session.get(simulator.url + "/health") as response:
            seen.append(response.status)
            return response.status == 200

    seen: list[int] = []
    await eventually(healthy)
    assert seen[0] == 503


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--fault", "explode"], "'explode' is not a fault"), (["--answers", "/nowhere"], "--answers /nowhere: No such")],
)
def test_bad_options_are_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    from joulebench_simulator.cli import main

    assert main(options) == 2
    assert message in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    from joulebench_simulator.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("examples:", "retry-after", "X-Joulebench-Fault", '"contains"', "JOULEBENCH_SIMULATOR_API_KEY"):
        assert word in text
