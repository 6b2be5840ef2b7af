"""Which boot of which machine this is."""

import ctypes
import sys
from pathlib import Path

from joulebench_exporter.errors import ExporterError

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DARWIN_BOOT_ID = b"kern.bootsessionuuid"


def boot_id() -> str:
    """A UUID that is the same for all processes on this machine until it is started anew."""
    found = _darwin_boot_id() if sys.platform == "darwin" else _LINUX_BOOT_ID.read_text(encoding="ascii")
    return found.strip().lower()


def _darwin_boot_id() -> str:
    size = ctypes.c_size_t(64)
    buffer = ctypes.create_string_buffer(size.value)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sysctlbyname(_DARWIN_BOOT_ID, buffer, ctypes.byref(size), None, 0) != 0:
        raise ExporterError(f"sysctl kern.bootsessionuuid failed with errno {ctypes.get_errno()}")
    return buffer.value.decode("ascii")
