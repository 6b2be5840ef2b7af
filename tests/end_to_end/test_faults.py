"""What goes wrong with a server that is not ours: every fault is a row with its error, never a wrong answer."""

import asyncio
import json
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
        (_hangs, "limit"),
        (_closes_in_mid_stream, "closed"),
        (_broken_stream, "broken"),
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
        assert words in row["error"].lower() or words in row["error"]
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
