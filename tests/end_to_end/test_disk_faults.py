"""Disks that fill up and folders that can no longer be written: the run ends with a reason, nothing is lost."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.meter.prior import prior_of

Serve = Callable[..., Any]
Answer = Callable[[str], Any]
DISK = "3m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The results folder, on a file system of three megabytes."""
    folder = tmp_path / "out"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "joulebench-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take every block that is left."""
    with path.open("wb", buffering=0) as ballast:
        try:
            while ballast.write(b"\0" * 4096):
                pass
        except OSError:
            return


def test_a_full_disk_ends_the_run_and_keeps_what_was_acknowledged(
    *,
    small_disk: Path,
    serve: Serve,
    answer_with: Answer,
    benchmark: Callable[..., Path],
    joulebench: Callable[..., Any],
) -> None:
    answer = answer_with("A: 4")
    questions = 0

    async def second_fills_the_disk(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        nonlocal questions
        questions += 1
        if questions == 2:
            fill(small_disk / "ballast")
        response: web.StreamResponse = await answer(request, body)
        return response

    server = serve(second_fills_the_disk)
    run = joulebench(benchmark({"external": {"url": server.url, "model": "scripted"}}, task={"name": "everyday"}))
    assert run.exit_code == 1, run.err
    assert "cannot write the journal" in run.err
    assert "No space left on device" in run.err
    assert "Free space on that file system and start the run again: it goes on where it stopped." in run.err
    assert "Traceback" not in run.err
    assert not (small_disk / "summary.json").exists()
    (small_disk / "ballast").unlink()
    contents = read(small_disk / "journal")
    finished = contents.table(Kind.QUERY_FINISH).num_rows
    assert 1 <= finished <= questions
    assert len(prior_of(contents).outcomes) == finished


def in_mount_namespace(*words: str | Path) -> "subprocess.Popen[str]":
    """A process whose mounts are its own."""
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def test_a_folder_that_becomes_read_only_ends_the_run_and_keeps_what_was_acknowledged(
    *,
    serve: Serve,
    answer_with: Answer,
    benchmark: Callable[..., Path],
    command: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    probe = in_mount_namespace("mount", "--bind", tmp_path, tmp_path)
    _, refusal = probe.communicate(timeout=30)
    if probe.returncode != 0:
        pytest.skip(f"no mount namespaces here: {refusal.strip()}")
    answer, folder = answer_with("A: 4"), tmp_path / "out"
    running: list[subprocess.Popen[str]] = []

    async def second_finds_it_read_only(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(server.questions) == 2:
            journal = folder / "journal"
            make_read_only = f"mount --bind {journal} {journal} && mount -o remount,bind,ro {journal}"
            inside = ["nsenter", "--target", str(running[0].pid), "--mount", "sh", "-c", make_read_only]
            process = await asyncio.create_subprocess_exec(*inside)
            assert await process.wait() == 0
            await asyncio.Event().wait()  # the run ends first, with its next segment
        response: web.StreamResponse = await answer(request, body)
        return response

    server = serve(second_finds_it_read_only)
    file = benchmark({"external": {"url": server.url, "model": "scripted"}}, task={"name": "everyday"})
    running.append(in_mount_namespace(*command("run", file, "--out", folder, "--sensor", "modelled")))
    _, errors = running[0].communicate(timeout=120)
    assert running[0].returncode == 1, errors
    assert "cannot write the journal" in errors
    assert "Read-only file system" in errors
    assert "Traceback" not in errors
    contents = read(folder / "journal")
    assert contents.problems == []
    assert len(prior_of(contents).outcomes) == 1
