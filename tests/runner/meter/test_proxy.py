"""The proxy against scripted servers: what the caller sees, what the server sees, and what the journal says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from joulebench_api.contracts.meter import Stage, StageEvent
from joulebench_runner.journal.schema import Kind
from joulebench_runner.meter.client import ErrorKind

Serve = Callable[..., Awaitable[Any]]
CHAT = {"model": "model", "messages": [{"role": "user", "content": "Hi"}]}
STREAMED = CHAT | {"stream": True}


async def test_an_unstreamed_answer_is_assembled_and_timed(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        answer = await response.json()
        assert (response.status, response.content_type) == (200, "application/json")
    assert answer["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hello"},
        "finish_reason": "stop",
    }
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["completion_tokens"] == 2
    (call,) = await meter.calls()
    assert (call["alias"], call["role"], call["stage"]) == ("model", "model", "startup")
    assert (call["query_id"], call["attempt"], call["retry"]) == ("00ff00ff00ff00ff", 2, 0)
    assert (call["endpoint"], call["model"], call["server_url"]) == ("chat/completions", "model", f"{server.url}/v1")
    assert (call["caller_streamed"], call["upstream_streamed"]) == (False, True)
    assert (call["prompt_tokens"], call["cached_prompt_tokens"], call["output_tokens"]) == (5, 3, 2)
    assert (call["status"], call["finish_reason"], call["error_kind"]) == (200, "stop", None)
    assert call["usage_missing_reason"] is None
    assert len(call["content_chunk_ns"]) == 2
    assert call["content_chunk_ns"] == [call["first_content_ns"], call["last_content_ns"]]
    times = [call[f"{name}_ns"] for name in ("intended", "send", "headers", "first_chunk", "first_content", "end")]
    assert times == sorted(times)
    assert call["request_bytes"] == len(server.asked[0].raw)
    assert call["response_bytes"] == sum(map(len, say.answer))


async def test_a_call_that_is_sent_is_in_the_journal_before_it_ends(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("a"), then="hang"))
    meter = await front(server)
    async with meter.post(STREAMED) as response:
        await response.content.readany()
        (begun,) = await meter.rows(Kind.CALL_BEGIN)
        assert await meter.calls() == []
        assert meter.state.in_flight.of("model") == 1
    (call,) = await meter.ended()
    assert call["call_id"] == begun["call_id"]
    assert (begun["query_id"], begun["attempt"], begun["send_ns"]) == ("00ff00ff00ff00ff", 2, call["send_ns"])


async def test_the_server_is_asked_for_a_stream_with_usage(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server, key_variable="KEY", environ={"KEY": "secret"})
    async with meter.post(CHAT | {"top_k": 3, "stream_options": {"continuous": 1}}):
        pass
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == CHAT | {
        "model": "served",
        "top_k": 3,
        "stream": True,
        "stream_options": {"continuous": 1, "include_usage": True},
    }
    assert asked.headers["Authorization"] == "Bearer secret"
    assert asked.headers["Accept-Encoding"] == "identity"


async def test_the_server_is_told_whose_call_it_is(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server)
    async with meter.post(CHAT):
        pass
    path = meter.path("chat/completions", query="00ff00ff00ff00ff.2")
    async with meter.session.post(path, json=CHAT, headers={"x-request-id": "the caller's own"}):
        pass
    call, _ = await meter.calls()
    ids = [value for asked in server.asked for name, value in asked.headers.items() if name.lower() == "x-request-id"]
    assert ids == [f"00ff00ff00ff00ff.2.{call['call_id']}", "the caller's own"]


async def test_a_servers_own_headers_are_with_every_call_and_the_list_of_models(
    serve: Serve, front: Serve, say: Any
) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server, headers_variable="OURS", environ={"OURS": "X-Team: search"})
    async with meter.post(CHAT) as response:
        assert response.status == 200
    async with meter.session.get(f"{meter.url}/m/model/v1/models") as response:
        await response.read()
    assert [asked.headers["X-Team"] for asked in server.asked] == ["search", "search"]


async def test_without_a_key_none_is_sent_on(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    async with (await front(server)).post(CHAT):
        pass
    assert "Authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("named", "sent"), [("model", "served"), ("", "served"), ("default", "served"), ("lora-7", "lora-7")]
)
async def test_only_names_that_the_server_cannot_know_are_replaced(
    serve: Serve, front: Serve, say: Any, named: str, sent: str
) -> None:
    server = await serve(say.stream(*say.answer))
    async with (await front(server)).post(CHAT | {"model": named}):
        pass
    assert server.asked[0].body["model"] == sent


async def test_a_stream_is_passed_on_byte_for_byte_without_our_usage_chunk(
    serve: Serve, front: Serve, say: Any
) -> None:
    pieces = (b": hello\r\n\r\n", say.text("ü"), b'event: x\ndata: {"choices": [],\ndata:  "odd": 1}\n\n', say.end())
    server = await serve(say.stream(*pieces, say.usage(), say.done))
    meter = await front(server)
    async with meter.post(STREAMED) as response:
        assert response.content_type == "text/event-stream"
        assert await response.read() == b"".join(pieces) + say.done
    (call,) = await meter.calls()
    assert (call["caller_streamed"], call["output_tokens"]) == (True, 2)


async def test_a_caller_that_asks_for_usage_gets_it(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    async with (await front(server)).post(STREAMED | {"stream_options": {"include_usage": True}}) as response:
        assert await response.read() == b"".join(say.answer)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
async def test_events_cut_by_the_network_arrive_whole(serve: Serve, front: Serve, say: Any, size: int) -> None:
    whole = say.text("grüße 🙂") + say.end() + say.usage() + say.done
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    server = await serve(say.stream(*pieces))
    async with (await front(server)).post(CHAT) as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "grüße 🙂"


async def test_a_server_without_usage_leaves_the_counts_open_and_says_so(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("a"), say.end(), say.done))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert "usage" not in await response.json()
    (call,) = await meter.calls()
    assert (call["prompt_tokens"], call["output_tokens"]) == (None, None)
    assert call["usage_missing_reason"] == "the server did not report usage in its stream"
    assert meter.state.findings == ["the server of 'model' does not report usage"]


REFUSES_OPTIONS = {"error": {"message": "Unknown field: stream_options"}}
REFUSES_STREAM = {"error": {"message": "stream is not supported"}}
PLAIN = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


async def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(
    serve: Serve, front: Serve, say: Any
) -> None:
    server = await serve(say.json(REFUSES_OPTIONS, status=400), say.stream(say.text("a"), say.end(), say.done))
    meter = await front(server)
    for _ in range(2):
        async with meter.post(CHAT) as response:
            assert response.status == 200
    assert [asked.body.get("stream_options") for asked in server.asked] == [{"include_usage": True}, None, None]
    assert [asked.body["stream"] for asked in server.asked] == [True, True, True]
    calls = await meter.calls()
    assert [(call["status"], call["error_kind"], call["retry"]) for call in calls] == [
        (400, "status", 0),
        (200, None, 1),
        (200, None, 0),
    ]
    (note, _) = await meter.rows(Kind.NOTE)
    assert (note["topic"], note["subject"]) == ("server", "model")
    assert "refuses a stream with usage (stream_options)" in note["message"]


async def test_a_server_that_cannot_stream_is_asked_without(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.json(REFUSES_STREAM, status=422), say.json(PLAIN))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert await response.json() == PLAIN
    assert "stream" not in server.asked[1].body
    _, call = await meter.calls()
    assert (call["upstream_streamed"], call["output_tokens"], call["first_chunk_ns"]) == (False, 1, None)


async def test_a_refusal_that_stays_is_the_callers_and_nothing_is_learnt(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.json(REFUSES_STREAM, status=400))
    meter = await front(server)
    for _ in range(2):
        async with meter.post(CHAT) as response:
            assert (response.status, await response.json()) == (400, REFUSES_STREAM)
    assert [asked.body.get("stream") for asked in server.asked] == [True, None, True, None]
    assert meter.state.findings == []


async def test_what_the_caller_asked_for_itself_is_never_left_out(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.json(REFUSES_STREAM, status=400))
    async with (await front(server)).post(STREAMED) as response:
        assert (response.status, await response.json()) == (400, REFUSES_STREAM)
    assert all(asked.body["stream"] for asked in server.asked)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 500, 501])
@pytest.mark.parametrize("body", [CHAT, STREAMED])
async def test_errors_of_the_server_are_passed_on(
    serve: Serve, front: Serve, say: Any, status: int, body: dict[str, Any]
) -> None:
    error = {"error": {"message": "no", "code": status}}
    server = await serve(say.json(error, status=status, headers={"x-request-id": "r7"}))
    meter = await front(server)
    async with meter.post(body) as response:
        assert (response.status, await response.json()) == (status, error)
        assert response.headers["x-request-id"] == "r7"
    (call,) = await meter.calls()
    assert (call["status"], call["error_kind"]) == (status, "status")
    assert call["error"] == f"HTTP {status}: {orjson.dumps(error).decode()}"
    assert call["usage_missing_reason"] == "the call failed (status)"
    assert meter.slept == []


async def test_the_key_is_neither_passed_on_nor_journalled_when_the_server_repeats_it(
    serve: Serve, front: Serve, say: Any
) -> None:
    server = await serve(say.json({"error": {"message": "bad key hunter2"}}, status=401))
    meter = await front(server, key_variable="KEY", environ={"KEY": "hunter2"})
    async with meter.post(CHAT) as response:
        assert "hunter2" not in await response.text()
    await meter.journal.commit()
    assert all(b"hunter2" not in path.read_bytes() for path in meter.folder.iterdir())
    (call,) = await meter.calls()
    assert "bad key [key]" in call["error"]


async def test_too_many_requests_are_tried_again_when_the_server_says(serve: Serve, front: Serve, say: Any) -> None:
    busy = say.json({"error": {}}, status=429, headers={"Retry-After": "7"})
    server = await serve(busy, busy, say.stream(*say.answer))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert response.status == 200
    assert meter.slept == [7.0, 7.0]
    calls = await meter.calls()
    assert [(call["retry"], call["status"], call["error_kind"]) for call in calls] == [
        (0, 429, "status"),
        (1, 429, "status"),
        (2, 200, None),
    ]
    assert len({call["call_id"] for call in calls}) == 3
    assert {call["query_id"] for call in calls} == {"00ff00ff00ff00ff"}


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_servers_that_stay_down_are_given_up_after_the_retries(
    serve: Serve, front: Serve, say: Any, status: int
) -> None:
    server = await serve(say.json({"error": "down"}, status=status))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert (response.status, await response.json()) == (status, {"error": "down"})
    assert meter.slept == [0.25, 0.5]
    assert len(await meter.calls()) == 3


async def test_a_reset_before_the_first_byte_is_tried_again(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.reset, say.stream(*say.answer))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert response.status == 200
    first, second = await meter.calls()
    assert (first["error_kind"], first["status"], first["headers_ns"]) == ("closed", None, None)
    assert second["error_kind"] is None


async def test_resets_without_end_are_told_as_bad_gateway(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.reset)
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert response.status == 502
        error = (await response.json())["error"]
    assert error["type"] == "upstream_closed"
    assert "closed the connection before it answered" in error["message"]
    assert [call["error_kind"] for call in await meter.calls()] == ["closed"] * 3


async def test_a_server_that_is_not_there_is_told_at_once(
    serve: Serve, front: Serve, say: Any, unused_tcp_port: int
) -> None:
    script = await serve(say.json({}))
    script.url = f"http://127.0.0.1:{unused_tcp_port}"
    meter = await front(script)
    async with meter.post(CHAT) as response:
        assert response.status == 502
        assert (await response.json())["error"]["type"] == "upstream_connect"
    assert meter.slept == []
    (call,) = await meter.calls()
    assert call["error_kind"] == "connect"


async def test_a_replica_that_is_not_there_is_passed_over(
    serve: Serve, front: Serve, say: Any, unused_tcp_port: int
) -> None:
    gone, alive = await serve(say.json({})), await serve(say.stream(*say.answer))
    gone.url = f"http://127.0.0.1:{unused_tcp_port}"
    meter = await front(gone, alive)
    for _ in range(4):
        async with meter.post(CHAT) as response:
            assert response.status == 200


async def test_the_replica_with_the_fewest_calls_is_asked(serve: Serve, front: Serve, say: Any) -> None:
    first, second = await serve(say.stream(then="hang")), await serve(say.stream(then="hang"))
    meter = await front(first, second)
    asking = [asyncio.create_task(meter.session.post(meter.path("chat/completions"), json=CHAT)) for _ in range(4)]
    for server in (first, second):
        await asyncio.wait_for(server.begun.wait(), timeout=5)
    begun: list[Any] = []
    while len(begun) < 4:
        begun = await meter.rows(Kind.CALL_BEGIN)
        await asyncio.sleep(0)
    assert {url: meter.state.in_flight.at(f"{url}/v1") for url in (first.url, second.url)} == {
        first.url: 2,
        second.url: 2,
    }
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await meter.ended(4)


async def test_a_caller_that_leaves_stops_the_server(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("a"), then="hang"))
    meter = await front(server)
    response = await meter.post(STREAMED)
    await response.content.readany()
    response.close()
    await asyncio.wait_for(server.gone.wait(), timeout=5)
    (call,) = await meter.ended()
    assert (call["error_kind"], call["finish_reason"]) == ("cancelled", None)
    assert meter.state.in_flight.of("model") == 0


async def test_a_caller_that_leaves_before_any_answer_stops_the_server(serve: Serve, front: Serve, say: Any) -> None:
    async def hang(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("never")

    server = await serve(hang)
    meter = await front(server)
    asking = asyncio.create_task(meter.session.post(meter.path("chat/completions"), json=CHAT))
    await asyncio.wait_for(server.begun.wait(), timeout=5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.wait_for(server.gone.wait(), timeout=5)
    (call,) = await meter.ended()
    assert (call["error_kind"], call["status"]) == ("cancelled", None)


async def test_a_caller_that_leaves_at_the_end_mark_has_had_its_answer(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server)
    response = await meter.post(STREAMED)
    await response.content.readuntil(say.done)
    assert [call["error_kind"] for call in await meter.calls()] == [None]
    response.close()


async def test_a_stream_that_breaks_off_never_looks_whole(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("half"), then="cut"))
    meter = await front(server)
    async with meter.post(STREAMED) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    (call,) = await meter.calls()
    assert (call["error_kind"], call["status"]) == ("closed", 200)
    assert len(call["content_chunk_ns"]) == 1


async def test_an_unstreamed_answer_that_breaks_off_is_bad_gateway(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("half"), then="cut"))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert response.status == 502
        assert (await response.json())["error"]["type"] == "upstream_closed"
    (call,) = await meter.calls()
    assert call["error_kind"] == "closed"
    assert meter.slept == []


async def test_an_answer_that_is_cut_where_pods_come_and_go_is_asked_for_again(
    serve: Serve, front: Serve, say: Any
) -> None:
    server = await serve(say.stream(say.text("half"), then="cut"), say.stream(*say.answer))
    meter = await front(server, changing=True)
    async with meter.post(CHAT) as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "Hello"
    assert [(call["retry"], call["error_kind"]) for call in await meter.calls()] == [(0, "closed"), (1, None)]


async def test_answers_that_are_cut_without_end_are_given_up(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("half"), then="cut"))
    meter = await front(server, changing=True)
    async with meter.post(CHAT) as response:
        assert response.status == 502
    assert [call["retry"] for call in await meter.calls()] == [0, 1, 2]


async def test_a_stream_of_which_something_was_passed_on_is_never_begun_anew(
    serve: Serve, front: Serve, say: Any
) -> None:
    server = await serve(say.stream(say.text("half"), then="cut"), say.stream(*say.answer))
    meter = await front(server, changing=True)
    async with meter.post(STREAMED) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert len(await meter.calls()) == 1


@pytest.mark.parametrize("pieces", [("text", "half"), ("text",)])
async def test_a_stream_that_ends_without_an_end_is_broken_off(
    serve: Serve, front: Serve, say: Any, pieces: tuple[str, ...]
) -> None:
    rest = {"text": say.text("a"), "half": b'data: {"choices"'}
    server = await serve(say.stream(*(rest[piece] for piece in pieces)))
    async with (await front(server)).post(CHAT) as response:
        assert response.status == 502
        assert (await response.json())["error"]["type"] == "upstream_closed"


async def test_a_stream_with_a_finish_reason_needs_no_end_mark(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(say.text("a"), say.end()))
    async with (await front(server)).post(CHAT) as response:
        assert response.status == 200


@pytest.mark.parametrize("garbage", [b"data: {oops\n\n", b"data: 7\n\n", b"data: \xff\xfe\n\n"])
async def test_broken_events_are_told(serve: Serve, front: Serve, say: Any, garbage: bytes) -> None:
    server = await serve(say.stream(say.text("a"), garbage, then="hang"))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert response.status == 502
        assert (await response.json())["error"]["type"] == "upstream_broken_stream"
    await asyncio.wait_for(server.gone.wait(), timeout=5)
    async with meter.post(STREAMED) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert [call["error_kind"] for call in await meter.calls()] == ["broken_stream"] * 2


async def test_a_null_event_means_nothing_and_is_passed_on(serve: Serve, front: Serve, say: Any) -> None:
    """llama.cpp sends one for each prompt of a list."""
    server = await serve(say.stream(say.text("a"), b"data: null\n\n", say.end(), say.done))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert response.status == 200
    async with meter.post(STREAMED) as response:
        assert b"data: null\n\n" in await response.read()


async def test_an_error_in_the_stream_is_the_callers_error(serve: Serve, front: Serve, say: Any) -> None:
    error = {"message": "out of memory", "type": "InternalServerError", "code": 500}
    server = await serve(say.stream(say.text("a"), say.event({"error": error}), say.done))
    meter = await front(server)
    async with meter.post(CHAT) as response:
        assert (response.status, await response.json()) == (500, {"error": error})
    (call,) = await meter.calls()
    assert call["error_kind"] == "broken_stream"
    assert "out of memory" in call["error"]


async def test_completions_are_timed_like_chats(serve: Serve, front: Serve, say: Any) -> None:
    def piece(text: str, reason: str | None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        data: bytes = say.event({"object": "text_completion", "choices": [choice]})
        return data

    server = await serve(say.stream(piece("a", None), piece("b", "stop"), say.usage(), say.done))
    meter = await front(server)
    async with meter.post({"prompt": "x"}, endpoint="completions") as response:
        assert (await response.json())["choices"][0]["text"] == "ab"
    assert server.asked[0].path == "/v1/completions"
    (call,) = await meter.calls()
    assert (call["endpoint"], call["output_tokens"], len(call["content_chunk_ns"])) == ("completions", 2, 2)


async def test_embeddings_are_passed_through_and_counted(serve: Serve, front: Serve, say: Any) -> None:
    answer = {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    server = await serve(say.json(answer))
    meter = await front(server)
    async with meter.post({"model": "served", "input": "x"}, endpoint="embeddings") as response:
        assert await response.json() == answer
    assert server.asked[0].raw == b'{"model":"served","input":"x"}'
    (call,) = await meter.calls()
    assert (call["endpoint"], call["prompt_tokens"], call["usage_missing_reason"]) == ("embeddings", 3, None)


async def test_the_list_of_models_is_passed_through(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.json({"data": [{"id": "served"}]}))
    meter = await front(server, key_variable="KEY", environ={"KEY": "secret"})
    async with meter.session.get(meter.path("models", query=None)) as response:
        assert await response.json() == {"data": [{"id": "served"}]}
    assert server.asked[0].headers["Authorization"] == "Bearer secret"
    assert await meter.calls() == []


async def test_a_call_without_a_question_is_taken_and_counted(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server)
    meter.state.on_stage(StageEvent(stage=Stage.RUN, event="start"))
    async with meter.post(CHAT, query=None) as response:
        assert response.status == 200
    (call,) = await meter.calls()
    assert (call["query_id"], call["attempt"]) == (None, None)
    assert meter.state.unjoined_calls == 1


@pytest.mark.parametrize("stage", [Stage.STARTUP, Stage.WARMUP])
async def test_a_call_belongs_to_the_stage_in_which_it_was_sent(
    serve: Serve, front: Serve, say: Any, stage: Stage
) -> None:
    server = await serve(say.stream(*say.answer))
    meter = await front(server)
    meter.state.on_stage(StageEvent(stage=stage, event="start"))
    async with meter.post(CHAT, query=None):
        pass
    (call,) = await meter.calls()
    assert call["stage"] == stage
    # Only a measured call needs a question to be billed to.
    assert meter.state.unjoined_calls == 0


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/m/judge/v1/chat/completions", "no model has the alias 'judge'; this meter serves: model"),
        ("/m/model/q/abc/v1/chat/completions", "'abc' is not QUERY_ID.ATTEMPT"),
        ("/m/model/v1/responses", "/m/model/v1/responses is not served"),
    ],
)
async def test_paths_that_lead_nowhere_say_why(serve: Serve, front: Serve, say: Any, path: str, words: str) -> None:
    meter = await front(await serve(say.json({})))
    async with meter.session.post(meter.url + path, json=CHAT) as response:
        assert response.status == 404
        assert words in (await response.json())["error"]["message"]


async def test_a_body_that_is_no_json_is_the_servers_to_refuse(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.json({"error": "parse"}, status=400))
    async with (await front(server)).post(b"{nonsense") as response:
        assert (response.status, await response.json()) == (400, {"error": "parse"})
    assert server.asked[0].raw == b"{nonsense"


async def test_large_prompts_pass(serve: Serve, front: Serve, say: Any) -> None:
    server = await serve(say.stream(*say.answer))
    prompt = "x" * 20_000_000
    async with (await front(server)).post(CHAT | {"messages": [{"role": "user", "content": prompt}]}) as response:
        assert response.status == 200
    assert server.asked[0].body["messages"][0]["content"] == prompt


async def test_connections_to_the_server_are_used_again(serve: Serve, front: Serve, say: Any) -> None:
    ports = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        response: web.StreamResponse = await say.stream(*say.answer)(request)
        return response

    meter = await front(await serve(answer))
    for body in (CHAT, STREAMED, CHAT):
        async with meter.post(body) as response:
            await response.read()
    assert len(ports) == 1


def test_kinds_of_errors_are_what_the_journal_documents() -> None:
    assert set(ErrorKind) == {"connect", "status", "closed", "broken_stream", "timeout", "cancelled"}
