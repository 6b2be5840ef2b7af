"""From a benchmark file to the processes of a local run. Pure, apart from looking at files and the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from joulebench_runner.config import DriverSettings, MeterSettings
from joulebench_runner.local.run_file import RunFile


@dataclass(frozen=True)
class LocalOptions:
    """What the command line adds to the file."""

    data: Path | None = None
    sensor: str = "auto"
    rapl_root: Path | None = None
    idle_watts: float | None = None
    watts_per_core: float | None = None
    meter_port: int = 0


@dataclass(frozen=True)
class Command:
    """A process to start."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalPlan:
    """Everything a local run will start, decided before anything is started."""

    run_dir: Path
    run_file: RunFile
    meter_settings: MeterSettings
    driver_settings: DriverSettings
    exporter: Command | None
    server: Command | None
    meter: Command
    driver: Command
    run_seconds: float
    """Deadline of the whole run (`timeouts.run`)."""
    notes: Sequence[str] = ()
    """What the user should know before the run begins, such as fields that only a cluster uses."""
