"""What made a run: the machine, the versions, the file, the command lines. No number without provenance."""

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from joulebench_api.v1alpha1 import BenchmarkRun
from joulebench_runner.local.plan import LocalOptions
from joulebench_runner.local.run_file import Start
from joulebench_runner.local.serving import Serving
from joulebench_runner.surroundings import describe_machine, describe_versions, package_version

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(*, time_ms: int | None = None, randomness: int | None = None) -> str:
    """A ULID: 48 bits of milliseconds, 80 random bits, in Crockford's base 32; sorts by time (github.com/ulid/spec)."""
    moment = time.time_ns() // 1_000_000 if time_ms is None else time_ms
    value = (moment << 80) | (secrets.randbits(80) if randomness is None else randomness)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def start_now(*, now: datetime | None = None) -> Start:
    """A start of a run, at this moment by this release."""
    moment = datetime.now(UTC) if now is None else now
    at = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Start(at=at, joulebench=package_version("joulebench-runner"))


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


def redacted(argv: Sequence[str]) -> list[JsonValue]:
    """A command line without this machine's paths: only file names are kept."""
    return [Path(word).name if word.startswith("/") else word for word in argv]
