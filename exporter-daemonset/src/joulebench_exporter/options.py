"""What the exporter's process is told on its command line, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joulebench_exporter.rhythm import DEFAULT_RHYTHM, Rhythm
from joulebench_exporter.tls import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterOptions:
    """All options of `joulebench-exporter`."""

    listen: str
    http: str | None
    """Where metrics and health are served; None: nowhere."""
    sensors: Sequence[str]
    rapl_root: Path
    idle_watts: float | None
    watts_per_core: float | None
    device_files: Sequence[Path] = ()
    simulated_rhythm: Rhythm = DEFAULT_RHYTHM
    period_ns: int
    batch_seconds: float
    ask_for_tokens: bool
    """Callers over TCP present a service-account token ..."""
    audience: str
    """... for this audience ..."""
    namespaces: Sequence[str]
    """... of one of these namespaces; none: of any."""
    ask_scrapers_for_tokens: bool
    tls: Tls | None
    record: Path | None
    """A CSV file to log into."""
    record_seconds: float
    pod_resources: Path | None
    """The kubelet's socket; None: owners are not asked for."""
    pod_groups: Path | None
    """Where control groups are; None: pods are not seen to come and go."""
    owners_seconds: float
    """Between questions to the kubelet while no pod is seen to come or go."""
    ready_file: Path | None
    exit_with_stdin: bool
    boot_offset_ns: int = 0
    """For tests: this machine's clock is ahead by so much, as that of another one would be."""
