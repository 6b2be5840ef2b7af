"""What is made and removed in a few folders, by inotify(7) of Linux: no thread, and no cost while nothing happens."""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

# Of <linux/inotify.h>.
_IN_MOVED_FROM: Final = 0x40
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_IN_ONLYDIR: Final = 0x01000000
_WATCHED: Final = _IN_CREATE | _IN_DELETE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_ONLYDIR

_BUFFER_BYTES: Final = 65536


class Inotify:
    """Watches folders. Raises OSError where the system has no inotify, or where this user has too many of them."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "this system has no inotify")
        libc = ctypes.CDLL(None, use_errno=True)
        self._add_watch: Callable[[int, bytes, int], int] = libc.inotify_add_watch
        self.descriptor: int = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        """Readable while something has happened."""

    def watch(self, folder: Path) -> None:
        """From now on. A folder that is watched already stays so. Raises OSError, as for a folder that is gone."""
        _checked(self._add_watch(self.descriptor, os.fsencode(folder), _WATCHED))

    def drain(self) -> None:
        """Forget what has happened. What it was does not matter, nor that a full queue dropped some of it."""
        try:
            while os.read(self.descriptor, _BUFFER_BYTES):
                pass
        except BlockingIOError:
            pass  # that was all

    def close(self) -> None:
        """End all watches."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
