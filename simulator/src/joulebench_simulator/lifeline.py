"""Ends this process with its parent, also when the parent is killed."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Ask Linux for a SIGTERM when the parent's thread that started us ends; elsewhere stdin must do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def on_end_of_input(then: Callable[[], None], *, descriptor: int = 0) -> None:
    """Call `then`, from a thread, once the other end of a pipe is closed. What comes through it is thrown away."""

    def wait() -> None:
        try:
            while os.read(descriptor, 4096):
                pass
        except OSError:
            pass  # closed from the beginning: as good as its end
        then()

    # os.read on a thread works for pipes, terminals and files alike; a daemon thread does not hold up our own end.
    threading.Thread(target=wait, name="lifeline", daemon=True).start()
