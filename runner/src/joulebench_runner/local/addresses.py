"""Ports and hosts of this machine."""

import errno
import ipaddress
import socket
from typing import Final

from joulebench_runner.errors import BadInputError

LOOPBACK: Final = "127.0.0.1"


def free_port() -> int:
    """A port that is free now; who listens on it says so in its log should somebody take it in between."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


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
