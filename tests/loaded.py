"""What a program has imported by the time it ends: its start must stay fast."""

import subprocess
import sys

HEAVY = frozenset(
    {
        *{"aiohttp", "datasets", "grpc", "inspect_ai", "kubernetes", "numpy"},
        *{"openai", "pyarrow", "pydantic", "ruamel", "yaml"},
    }
)
"""Each takes a tenth of a second or more, or brings others that do."""


def printed_and_loaded(code: str) -> tuple[str, set[str]]:
    """What this code prints in an interpreter of its own, and the modules that are then there."""
    listing = f"import atexit, sys; atexit.register(lambda: print(*sys.modules))\n{code}"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    printed, _, modules = done.stdout.rstrip().rpartition("\n")
    return printed, set(modules.split())
