"""Ports, sockets and hosts of this machine."""

import errno
import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from joulebench_runner.errors import BadInputError

LOOPBACK: Final = "127.0.0.1"
# A socket's path has 103 bytes at most (sun_path of sockaddr_un on macOS); 40 are for our folder's name and its own.
_MAX_PARENT_BYTES: Final = 63


def free_port() -> int:
    """A port that is free now; who listens on it says so in its log should somebody take it in between."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A fresh folder for Unix sockets, of this user alone, gone at the end.

    It is where temporary files go, or in `/tmp` where that path is too long for a socket's.
    """
    usual = tempfile.gettempdir()
    parent = usual if len(os.fsencode(usual)) <= _MAX_PARENT_BYTES else "/tmp"  # noqa: S108 - mkdtemp makes it private
    with tempfile.TemporaryDirectory(prefix="joulebench-", dir=parent) as folder:
        yield Path(folder)


def check_free(port: int, *, option: str) -> None:
    """Raise BadInputError if nobody could listen on a port that the user chose; 0 stands for any free one."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OverflowError:
            raise BadInputError(f"{option} {port}: a port is a number from 0 to 65535") from None
        except OSError as error:
            cause = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise BadInputError(
                f"port {port} on {LOOPBACK} {cause}", remedy=f"choose another with {option}, or leave it out"
            ) from error


def is_local(host: str) -> bool:
    """Whether a host is this machine by its name alone; names that need a lookup are not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
