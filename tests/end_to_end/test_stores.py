"""Runs that keep their results in a store as well."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.object_stores import BUCKET, CREDENTIALS, S3Server, s3_server

from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

Serve = Callable[..., Any]
Answer = Callable[[str], Any]


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3") as server:
        yield server


def stored_at(url: str, **fields: Any) -> dict[str, Any]:
    return {"store": {"objectStore": {"url": url, **fields}}}


def files_in(folder: Path) -> set[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in names if not name.startswith(".")}


def test_a_run_lies_in_its_bucket_when_it_has_ended(
    *, s3: S3Server, serve: Serve, answer_with: Answer, benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    server = serve(answer_with("A: 4"))
    results = stored_at(f"s3://{BUCKET}/nightly", endpoint=s3.endpoint, credentialsSecretRef={"name": "s3"})
    file = benchmark({"external": {"url": server.url, "model": "scripted"}}, results=results)
    run = joulebench(file, **CREDENTIALS)
    assert run.exit_code == 0, run.err
    kept = s3.folder / "nightly" / "e2e"
    names = {name for name in files_in(kept) if "/." not in name}
    assert names == files_in(run.folder)
    assert {"summary.json", "queries.parquet", "settings/meter.json", "journal/00000001.arrows"} <= names
    assert (kept / "summary.json").read_bytes() == (run.folder / "summary.json").read_bytes()
    assert run.summary["stored"] == {"url": f"s3://{BUCKET}/nightly/e2e", "problem": None}
    assert f"copy: s3://{BUCKET}/nightly/e2e" in run.out
    assert read(kept / "journal").table(Kind.QUERY_FINISH).num_rows == 3
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode() not in path.read_bytes()


def test_a_copy_that_could_not_be_finished_is_finished_by_the_same_command(
    serve: Serve, answer_with: Answer, benchmark: Callable[..., Path], joulebench: Callable[..., Any], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    answer = answer_with("A: 4")

    async def and_break_the_store(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if kept.is_dir():
            shutil.rmtree(kept)
        kept.write_text("no folder")
        response: web.StreamResponse = await answer(request, body)
        return response

    server = serve(and_break_the_store)
    file = benchmark(
        {"external": {"url": server.url, "model": "scripted"}}, results=stored_at(f"file://localhost{kept}")
    )
    run = joulebench(file)
    assert run.exit_code == 3, run.err
    assert run.summary["state"] == "completed"
    assert "cannot write" in run.summary["stored"]["problem"]
    assert "not copied" in run.err
    assert "The same command with the same --out" in run.err
    asked = len(server.questions)
    kept.unlink()
    again = joulebench(file, "--json")
    assert again.exit_code == 0, again.err
    assert len(server.questions) == asked
    assert json.loads(again.out)["stored"]["problem"] is None
    assert (kept / "e2e" / "summary.json").read_bytes() == (again.folder / "summary.json").read_bytes()
    assert files_in(kept / "e2e") == files_in(again.folder)


@pytest.mark.parametrize(
    ("store", "words", "remedy"),
    [
        ({"url": "ftp://bench/a"}, "ftp:// is not supported", "s3://bucket/folder"),
        ({"url": "file://localhost/proc/nowhere"}, "cannot write", "can be written"),
        (
            {"url": "s3://bench", "endpoint": "http://127.0.0.1:9", "credentialsSecretRef": {"name": "s3"}},
            "the environment has no credentials",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_before_anything_starts(
    *,
    store: dict[str, Any],
    words: str,
    remedy: str,
    serve: Serve,
    answer_with: Answer,
    benchmark: Callable[..., Path],
    joulebench: Callable[..., Any],
) -> None:
    server = serve(answer_with("A: 4"))
    file = benchmark({"external": {"url": server.url, "model": "scripted"}}, results={"store": {"objectStore": store}})
    run = joulebench(file, AWS_ACCESS_KEY_ID="")
    assert run.exit_code == 2
    assert words in run.err
    assert remedy in run.err
    assert server.requests == []
    assert not run.folder.exists()
