"""Brings a folder from a claim to this machine: a pod reads it, `tar` packs it, and the pod is gone afterwards."""

import json
import secrets
import signal
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from joulebench_operator.commands import reader
from joulebench_operator.commands.cluster import Cluster
from joulebench_operator.commands.errors import CommandError
from joulebench_operator.commands.location import ClaimFolder
from joulebench_operator.commands.reader import ReaderImage
from joulebench_operator.objects import Object

if TYPE_CHECKING:
    from kubernetes.stream.ws_client import WSClient

START_SECONDS: Final = 180.0
"""For pulling the image and mounting the claim."""
SILENCE_SECONDS: Final = 60.0
"""How long nothing at all may come."""
_PAUSE_SECONDS: Final = 0.3
_STDOUT, _STDERR, _ERROR = 1, 2, 3
_GOOD: Final = (0, 1)
"""1: a file grew while it was packed, as those of a run that is still on do."""


def bring_claim(
    cluster: Cluster, run: Object, found: ClaimFolder, target: Path, *, image: ReaderImage, seconds: int
) -> None:
    """Copy the folder into `target`, which is there already. Raises CommandError; the pod is removed in any case."""
    name = f"{run['metadata']['name'][:40]}-reader-{secrets.token_hex(3)}"
    body = reader.reader_pod(name, run, found, image=image, seconds=seconds)
    with _until_told_to_end(), _pod(cluster, body):
        _wait(cluster, name)
        words = ("tar", "--create", "--file=-", f"--directory={reader.FOLDER}/{found.folder}", ".")
        _unpack(_Packed(cluster.execute(name, *words)), target, what=f"{found.claim}/{found.folder}")


@contextmanager
def _until_told_to_end() -> Iterator[None]:
    """SIGTERM is taken for Ctrl-C, so that what was made is removed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _pod(cluster: Cluster, body: Object) -> Iterator[None]:
    name = body["metadata"]["name"]
    try:
        # Within the block: what an interrupted request has made is removed too.
        cluster.create_pod(body)
        yield
    finally:
        cluster.delete_pod(name)


def _wait(cluster: Cluster, name: str) -> None:
    limit, told = time.monotonic() + START_SECONDS, None
    while reader.phase(pod := cluster.pod(name)) != "Running":
        problem = reader.trouble(pod)
        if reader.phase(pod) != "Pending" or time.monotonic() > limit:
            raise CommandError(
                f"the pod that reads the claim does not run: {problem or reader.phase(pod)}",
                remedy="a claim that one node holds (ReadWriteOnce) is read elsewhere only once the run's pod is gone; "
                "another image is named with --image",
            )
        if problem != told:
            told = problem
            click.echo(f"waiting for pod {name}: {problem}", err=True)
        time.sleep(_PAUSE_SECONDS)


class _Packed:
    """What `tar` writes in the pod, as a file that can be read."""

    def __init__(self, stream: "WSClient") -> None:
        self._stream: Any = stream  # its methods have no types
        self._rest = b""
        self.said = b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        limit = time.monotonic() + SILENCE_SECONDS
        while not self._rest:
            if not self._stream.is_open() and not self._take():
                return b""
            if time.monotonic() > limit:
                raise CommandError(
                    f"nothing has come from the pod for {SILENCE_SECONDS:g} s", remedy="try again; the connection hangs"
                )
            self._take(wait_seconds=1.0)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _take(self, *, wait_seconds: float = 0.0) -> bool:
        """Take in what has come; whether any of it is of the archive."""
        from websocket import WebSocketException  # noqa: PLC0415 - keeps --help fast

        try:
            come = bytes(self._stream.read_channel(_STDOUT, timeout=wait_seconds))
            self.said += bytes(self._stream.read_channel(_STDERR))
        except (WebSocketException, OSError) as error:
            raise CommandError(f"the connection to the pod broke off: {error}", remedy="try again") from error
        self._rest += come
        return bool(come)

    def end(self) -> int:
        """Read to the end; the exit code of `tar`."""
        while self.read(1 << 20):
            pass
        status = json.loads(bytes(self._stream.read_channel(_ERROR)) or b"{}")
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or [{}]
        told = str(causes[0].get("message", ""))
        self.said += b"" if told.isdecimal() else str(status.get("message", "the connection broke off")).encode()
        return int(told) if told.isdecimal() else -1


def _unpack(packed: _Packed, target: Path, *, what: str) -> None:
    try:
        with tarfile.open(fileobj=packed, mode="r|") as archive:  # type: ignore[call-overload]  # reading is all it does
            # Nothing leads out of the folder, whatever the archive says.
            archive.extractall(target, filter="data")
    except tarfile.TarError as error:
        raise _failure(packed, what, str(error)) from error
    if packed.end() not in _GOOD:
        raise _failure(packed, what, "it ended early")


def _failure(packed: _Packed, what: str, problem: str) -> CommandError:
    packed.end()
    said = packed.said.decode(errors="replace").strip()
    return CommandError(
        f"{what} cannot be read: {said or problem}", remedy="see whether the run has written anything yet"
    )
