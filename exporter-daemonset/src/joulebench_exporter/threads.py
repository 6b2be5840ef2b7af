"""Names of threads as the operating system shows them (`top -H`, `ps -L`)."""

import ctypes
import sys
from typing import Final

_PR_SET_NAME: Final = 15


def name_this_thread(name: str) -> None:
    """Where that can be done: on Linux. At most 15 characters are kept."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
