"""What goes wrong with a server that is not ours: every fault is a row with its error, never a wrong answer."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp import web

Serve = Callable[..., Any]


async def _status(request: web.Request, body: dict[str, Any], *, status: int) -> web.Response:
    return web.json_response({"error": {"message": "the server's own words"}}, status=status)


async def _bad_request(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return await _status(request, body, status=400)


async def _server_error(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    return await _status(request, body, status=500)


async def _hangs(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError("the run should have given up")


async def _closes_in_mid_stream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
             "choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": None}]}  # fmt: skip
    await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert request.transport is not None
    request.transport.abort()
    return response


async def _broken_stream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"choices": [{"index": 0, "del\n\n')
    await response.write(b"data: [DONE]\n\n")
    return response


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (_bad_request, "the server's own words"),
        (_server_error, "the server's own words"),
        (_hangs, "no answer within the query timeout of 3 s"),
        (_closes_in_mid_stream, "closed"),
        (_broken_stream, "an event that is no JSON"),
    ],
)
def test_a_failed_question_is_a_row_with_its_error(
    fault: Any, words: str, serve: Serve, benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    server = serve(fault)
    file = benchmark(
        {"external": {"url": server.url, "model": "scripted"}},
        task={"name": "everyday", "limit": 2},
        concurrency=2,
        timeouts={"query": "3s"},
    )
    run = joulebench(file)
    assert run.exit_code == 0, run.err
    counts = run.summary["counts"]
    assert counts == {"asked": 2, "answered": 0, "correct": 0, "incorrect": 0, "unscored": 0, "errors": 2}
    rows = pq.read_table(run.folder / "queries.parquet").to_pylist()
    assert len(rows) == 2
    for row in rows:
        assert words in row["error"]
        assert row["correct"] is None


def test_an_error_limit_ends_the_run_with_exit_code_3(
    serve: Serve, benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    server = serve(_server_error)
    file = benchmark(
        {"external": {"url": server.url, "model": "scripted"}}, task={"name": "everyday", "limit": 30}, maxErrors=2
    )
    run = joulebench(file)
    assert run.exit_code == 3, run.err
    assert run.summary["state"] == "error-limit"
    assert len(server.questions) < 30


async def _without_usage(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for content, reason in (("four", None), ("", "stop")):
        choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": [choice]}
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


def test_without_usage_tokens_are_unknown_and_energy_is_split_equally(
    serve: Serve, benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    server = serve(_without_usage)
    run = joulebench(benchmark({"external": {"url": server.url, "model": "scripted"}}))
    assert run.exit_code == 0, run.err
    summary = run.summary
    assert summary["tokens"]["output"] is None
    assert summary["tokens"]["calls_without_usage"] == 3
    assert summary["energy"]["fallback_calls"] == 3
    assert summary["energy"]["conserved"]
    rows = pq.read_table(run.folder / "queries.parquet").to_pylist()
    assert [row["output_tokens"] for row in rows] == [None] * 3
    assert all(row["energy_joules"] > 0 for row in rows)


def test_a_server_that_never_gets_ready_fails_the_run_with_the_reason(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    run = joulebench(
        benchmark({"external": {"url": "http://127.0.0.1:9/v1", "model": "m"}}, timeouts={"serverReady": "2s"})
    )
    assert run.exit_code == 1
    assert "is not ready after" in run.out + run.err
    assert "127.0.0.1:9" in run.out + run.err


@pytest.mark.model
def test_our_own_server_that_never_gets_ready_shows_its_last_words(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    pytest.importorskip("xllamacpp", reason="the embedded model server is not installed")
    # It lives, but under another name, so the model that is asked for is never listed.
    spec = {"preset": "smollm2-135m-instruct", "args": ["--alias", "another"], "startupTimeout": "3s"}
    run = joulebench(benchmark({"template": {"spec": spec}}))
    assert run.exit_code == 1
    assert "is not ready after" in run.out + run.err
    assert "server.log" in run.out + run.err


def test_a_server_elsewhere_has_no_joules_and_says_why(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any], serve: Serve, answer_with: Callable[[str], Any]
) -> None:
    server = serve(answer_with("4"))
    # A name that is not known to be this machine stands for another machine.
    url = server.url.replace("127.0.0.1", socket.gethostname())
    if not _reaches_loopback(socket.gethostname()):
        pytest.skip("this machine's own name does not lead to the loopback interface")
    run = joulebench(benchmark({"external": {"url": url, "model": "scripted"}}))
    assert run.exit_code == 0, run.err
    assert run.summary["energy"]["kind"] is None
    assert run.summary["energy"]["total_joules"] is None
    assert "another machine" in run.summary["energy"]["problem"]


def _reaches_loopback(name: str) -> bool:
    try:
        return socket.gethostbyname(name).startswith("127.")
    except OSError:
        return False
