"""Where the exporter listens: a Unix socket, or a port on the loopback interface."""

import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from grpc import aio

from joulebench_exporter.errors import ListenError
from joulebench_exporter.tls import Tls

_UNIX: Final = "unix:"
# sun_path of sockaddr_un: 108 bytes on Linux, 104 on macOS, with the final zero.
_MAX_PATH_BYTES: Final = 103


def unix_path(target: str) -> Path | None:
    """The socket's path in `unix:PATH`; None for TCP targets."""
    return Path(target.removeprefix(_UNIX).removeprefix("//")) if target.startswith(_UNIX) else None


@contextmanager
def bound(server: aio.Server, target: str, *, guarded: bool = False, tls: Tls | None = None) -> Iterator[str]:
    """Bind a server to its target, yield the target to connect to, and remove the socket in the end.

    `guarded`: callers over TCP are asked who they are, so it may be open to other machines. `tls` is for TCP.
    Raises ListenError where that cannot be.
    """
    path = unix_path(target)
    if path is None:
        yield _bind_tcp(server, target, guarded=guarded, tls=tls)
        return
    _make_room(path)
    # Power is a side channel: the socket is for this user alone.
    mask = os.umask(0o177)
    try:
        _bind(server, f"{_UNIX}{path}", target)
    finally:
        os.umask(mask)
    try:
        yield target
    finally:
        path.unlink(missing_ok=True)


def _bind_tcp(server: aio.Server, target: str, *, guarded: bool, tls: Tls | None) -> str:
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise ListenError(f"cannot listen on {target!r}", remedy="Write unix:/path/to/socket or 127.0.0.1:9780.")
    if not guarded and not _is_loopback(host.strip("[]")):
        raise ListenError(
            f"{target!r} is open to other machines, and callers are not asked who they are: power is a side channel",
            remedy="Listen on a Unix socket or on 127.0.0.1, or ask callers for a token with --auth token.",
        )
    return f"{host}:{_bind(server, target, target, tls=tls)}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(server: aio.Server, address: str, target: str, *, tls: Tls | None = None) -> int:
    try:
        return server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls.credentials())
    except RuntimeError as error:
        message = f"cannot listen on {target!r}: {error}"
        raise ListenError(message, remedy="Is the address in use, or the folder not writable?") from error


def _make_room(path: Path) -> None:
    """Check the path; remove a socket that a dead process left there."""
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        message = f"the socket's path {path} is longer than {_MAX_PATH_BYTES} bytes, the most that systems take"
        raise ListenError(message, remedy="Choose a shorter path.")
    if not path.parent.is_dir():
        raise ListenError(f"the folder of the socket {path} does not exist", remedy=f"mkdir -p {path.parent}")
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise ListenError(f"{path} exists and is no socket", remedy="Choose another path; nothing was changed.")
    if _answers(path):
        raise ListenError(f"another process listens on {path}", remedy="Stop it, or choose another path.")
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except OSError as error:
            raise ListenError(
                f"cannot use the socket {path}: {error.strerror}", remedy="Choose another path."
            ) from error
    return True
