"""`python -m joulebench_runner.meter --settings FILE`: the meter's process, from start to written results."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from joulebench_runner import processes
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import RunnerError
from joulebench_runner.meter.process import failed, run_meter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the meter; its exit code is the run's verdict."""
    options = _parser().parse_args(arguments)
    processes.die_with_parent(watch_stdin=options.exit_with_stdin)
    try:
        settings = MeterSettings.read_given(options.settings)
    except RunnerError as error:
        return failed(error, outcome_file=None, termination_file=None)
    return run_meter(settings, settings_file=options.settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m joulebench_runner.meter", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="the meter's settings (JSON)")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
