"""What the exporter's process is told on its command line, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joulebench_exporter.rhythm import DEFAULT_RHYTHM, Rhythm


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterOptions:
    """All options of `joulebench-exporter`."""

    listen: str
    sensors: Sequence[str]
    rapl_root: Path
    idle_watts: float | None
    watts_per_core: float | None
    device_files: Sequence[Path] = ()
    simulated_rhythm: Rhythm = DEFAULT_RHYTHM
    period_ns: int
    batch_seconds: float
    ready_file: Path | None
    exit_with_stdin: bool
