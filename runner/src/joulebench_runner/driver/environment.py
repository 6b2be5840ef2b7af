"""What the driver's environment must hold before any library is imported: nothing calls home, nothing is overridden."""

import os
from collections.abc import Mapping
from typing import Final

_SET: Final = {
    "INSPECT_DISPLAY": "none",
    "INSPECT_LOG_LEVEL": "warning",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
_DROPPED: Final = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS")
"""Read by the OpenAI client and sent as headers; the meter's server is another one."""


def driver_environment(current: Mapping[str, str]) -> dict[str, str]:
    """The environment for the driver, made from the current one.

    A user's own INSPECT_* variables (limits, hooks, telemetry, log settings) would change what a benchmark does.
    """
    kept = {name: value for name, value in current.items() if not name.startswith("INSPECT_") and name not in _DROPPED}
    return kept | _SET


def use_driver_environment() -> None:
    """Make it this process's."""
    environment = driver_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
