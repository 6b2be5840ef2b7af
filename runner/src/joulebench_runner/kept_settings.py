"""Settings that lie elsewhere, or in no file, are kept beside the results, for whoever reads them again."""

from pathlib import Path
from typing import Final

from joulebench_runner.config import DriverSettings, MeterSettings
from joulebench_runner.errors import RunnerError

_FOLDER: Final = "settings"


def keep_settings(settings: MeterSettings | DriverSettings, *, settings_file: Path | None, name: str) -> None:
    """Write them into the run's folder as `settings/NAME`, unless they were read from there. Raises RunnerError."""
    kept = settings.run_dir / _FOLDER / name
    if settings_file is not None and settings_file.resolve() == kept.resolve():
        return
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        settings.write(kept)
    except OSError as error:
        raise RunnerError(
            f"run_dir: cannot write {kept}: {error.strerror or error}",
            remedy="Name a results folder that can be written, on a disk that has room.",
        ) from error
