"""`python -m joulebench_runner.driver --settings FILE [--exit-with-stdin]`: the driver's process."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from joulebench_runner.config import DriverSettings
from joulebench_runner.driver.environment import driver_environment
from joulebench_runner.errors import RunnerError
from joulebench_runner.kept_settings import keep_settings
from joulebench_runner.processes import die_with_parent


def main() -> int:
    """Read the settings, run the driver, return its exit code."""
    parser = argparse.ArgumentParser(prog="joulebench-driver", description="Asks the questions of one run.")
    parser.add_argument("--settings", type=Path, required=True, help="DriverSettings as JSON")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    arguments = parser.parse_args()
    if arguments.exit_with_stdin:
        die_with_parent(watch_stdin=True)
    try:
        settings = DriverSettings.read_given(arguments.settings)
    except RunnerError as error:
        parser.exit(error.exit_code, f"joulebench driver: {error.message}\n  {error.remedy}\n")
    environment = driver_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    # Imported only now: libraries read the environment when they are imported.
    from joulebench_runner.driver.app import drive  # noqa: PLC0415

    try:
        keep_settings(settings, settings_file=arguments.settings, name="driver.json")
    except RunnerError as error:
        logging.getLogger(__name__).critical("%s; %s", error.message, error.remedy)
        return error.exit_code
    return int(asyncio.run(drive(settings)))


if __name__ == "__main__":
    sys.exit(main())
