"""What every process of a run does so that none outlives the one that started it."""

import ctypes
import os
import signal
import sys
import threading
from typing import Final

from joulebench_runner.errors import ExitCode

_PR_SET_PDEATHSIG: Final = 1  # <linux/prctl.h>


def die_with_parent(*, watch_stdin: bool) -> None:
    """End this process when its parent ends, even if the parent is killed with SIGKILL.

    On Linux the kernel does it (PR_SET_PDEATHSIG: it fires when the *thread* that started this process ends, so start
    children from a thread that lives as long as they should). With `watch_stdin`, which works everywhere, end of file
    on standard input means that the parent is gone: it must hold the other end of the pipe open.
    """
    if sys.platform == "linux":
        _ask_kernel()
    if watch_stdin:
        threading.Thread(target=_end_with_stdin, name="watch-stdin", daemon=True).start()


def _ask_kernel() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    # Nobody is left who could read an orderly goodbye; what was acknowledged is on disk.
    os._exit(ExitCode.INFRASTRUCTURE)
