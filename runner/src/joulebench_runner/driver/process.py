"""The driver's process once it has its settings."""

import asyncio
import logging
from pathlib import Path

from joulebench_runner.config import DriverSettings
from joulebench_runner.driver.environment import use_driver_environment
from joulebench_runner.errors import RunnerError
from joulebench_runner.kept_settings import keep_settings


def run_driver(settings: DriverSettings, *, settings_file: Path | None) -> int:
    """Run the driver; its exit code. `settings_file`: where the settings lie already, if in a file."""
    use_driver_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    # Imported only now: libraries read the environment when they are imported.
    from joulebench_runner.driver.app import drive  # noqa: PLC0415

    try:
        if settings.shard is None:
            keep_settings(settings, settings_file=settings_file, name="driver.json")
    except RunnerError as error:
        logging.getLogger(__name__).critical("%s; %s", error.message, error.remedy)
        return error.exit_code
    return int(asyncio.run(drive(settings)))
