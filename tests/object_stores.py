"""A real S3 server for tests: versitygw (Apache-2.0, github.com/versity/versitygw), built once with Go and kept.

It is built into `~/.cache/joulebench/bin/versitygw-VERSION/` (or below $XDG_CACHE_HOME), outside the repository.
Where it is not there and Go cannot build it, the tests that need it are skipped with the reason.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

VERSION = "v1.8.0"
PACKAGE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
BUILD_SECONDS = 400
DEADLINE_SECONDS = 20
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "joulebench-test", "AWS_SECRET_ACCESS_KEY": "of no use elsewhere"}
BUCKET = "bench"


def program() -> Path:
    """The server's program; skips the test where it cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "joulebench" / "bin" / f"versitygw-{VERSION}" / "versitygw"
    if not path.exists():
        _build(path)
    return path


def _build(path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"no S3 server: {path} is not there, and there is no `go` to build it")
    draft = path.parent / f"build-{os.getpid()}"
    command = [go, "install", PACKAGE]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
            env={**os.environ, "GOBIN": str(draft)},
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"no S3 server: `go install {PACKAGE}` took longer than {BUILD_SECONDS} s")
    if done.returncode != 0:
        pytest.skip(f"no S3 server: `go install {PACKAGE}` failed: {done.stderr.strip().splitlines()[-1]}")
    (draft / "versitygw").replace(path)
    draft.rmdir()


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket; `folder` holds the bucket's objects as files."""

    port: int
    folder: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def names(self, prefix: str) -> set[str]:
        """Names of the objects below a prefix, as they lie on the server's disk."""
        root = self.folder / prefix
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@contextmanager
def s3_server(root: Path) -> Iterator[S3Server]:
    """A server on 127.0.0.1 that keeps its objects in `root`."""
    binary = program()
    bucket = root / "gateway" / BUCKET
    bucket.mkdir(parents=True)
    port = free_port()
    keys = {
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    command = [str(binary), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(bucket.parent)]
    with (root / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **keys})
    try:
        _await_port(port, process)
        yield S3Server(port, bucket)
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the S3 server ended while it started"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the S3 server does not listen")


class Gate:
    """A TCP proxy in front of a server, which can be shut: then it refuses, as a server that is away does."""

    def __init__(self, port: int) -> None:
        """In front of `port` of 127.0.0.1; open at first."""
        self.port = free_port()
        self._behind = port
        self._listener: socket.socket | None = None
        self._joined: list[socket.socket] = []
        self.open()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Let calls through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections and cut those there are."""
        listener, self._listener = self._listener, None
        for one in [*self._joined, *([listener] if listener else [])]:
            # Wakes the thread that waits on it; already cut by the other side is fine.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._joined.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._behind))
            except OSError:
                return
            self._joined += [caller, server]
            for source, target in ((caller, server), (server, caller)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
