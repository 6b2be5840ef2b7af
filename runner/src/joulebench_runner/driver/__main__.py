"""`python -m joulebench_runner.driver --settings FILE [--exit-with-stdin]`: the driver's process."""

import argparse
import sys
from pathlib import Path

from joulebench_runner.config import DriverSettings
from joulebench_runner.driver.process import run_driver
from joulebench_runner.errors import RunnerError
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
    return run_driver(settings, settings_file=arguments.settings)


if __name__ == "__main__":
    sys.exit(main())
