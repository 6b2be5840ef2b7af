"""`python -m joulebench_runner.fetch --settings FILE`: brings a task's questions, so that the driver needs no network.

It is the one process of a pod that holds the hub's token. FILE is the driver's own settings: the questions go where the
driver will look for them (`task.data_root`).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from joulebench_runner import __version__
from joulebench_runner.config import DriverSettings, TaskSettings
from joulebench_runner.errors import BadInputError, ExitCode, RunnerError
from joulebench_runner.tasks.fetch import Fetched, HubAwayError, fetch
from joulebench_runner.tasks.registry import find

_FIELD = "spec.task"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch; 0, or why not: 2 where the input is wrong, 75 where a later try may go better, else 1."""
    options = _parser().parse_args(arguments)
    try:
        task = DriverSettings.read_given(options.settings).task
    except RunnerError as error:
        return failed(error, task=None, termination_file=options.termination_file)
    return run_fetch(task, termination_file=options.termination_file)


def run_fetch(task: TaskSettings, *, termination_file: Path | None) -> ExitCode:
    """Fetch and say so; see `main`."""
    try:
        print(_line(fetch_into_root(task)), flush=True)  # noqa: T201 - the container's log
    except RunnerError as error:
        return failed(error, task=task.name, termination_file=termination_file)
    return ExitCode.DONE


def failed(error: RunnerError, *, task: str | None, termination_file: Path | None) -> ExitCode:
    """Say why, in the log and in the termination message; the exit code."""
    print(f"joulebench fetch: {error.message}", file=sys.stderr)  # noqa: T201 - the container's log
    if error.remedy:
        print(f"  {error.remedy}", file=sys.stderr)  # noqa: T201 - likewise
    if termination_file is not None:
        termination_file.write_text(_termination(error, task))
    return ExitCode.INFRASTRUCTURE if isinstance(error, HubAwayError) else error.exit_code


def fetch_into_root(task: TaskSettings) -> Fetched:
    """The questions in the folder where the driver looks for them. Raises BadInputError."""
    if task.data_root is None:
        raise BadInputError(
            "task.data_root: null, so there is no folder for the questions", remedy="Name the folder that both mount."
        )
    found = find(task.name)
    # The hub's own library keeps a cache, which would be in a home folder that a pod's user does not have.
    os.environ.setdefault("HF_HOME", str(task.data_root / ".hub"))
    return fetch(found, root=task.data_root, settings=task)


def _line(fetched: Fetched) -> str:
    where = "" if fetched.path is None else f": {fetched.rows} rows in {fetched.path}, sha256 {fetched.sha256}"
    return f"{fetched.task}: {fetched.state}{where}"


def _termination(error: RunnerError, task: str | None) -> str:
    """The same message as preflight's: which field, which value, why, and what to do."""
    from joulebench_api.conditions import Reason  # noqa: PLC0415 - a fetch that goes well needs none of this
    from joulebench_api.contracts.preflight import Finding, PreflightReport  # noqa: PLC0415 - likewise

    finding = Finding(
        field=_FIELD,
        value=task,
        reason=Reason.DATASET_UNAVAILABLE,
        message=error.message,
        remedy=error.remedy,
    )
    return PreflightReport(runner_version=__version__, findings=[finding]).as_message()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m joulebench_runner.fetch", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="the driver's settings (JSON)")
    parser.add_argument(
        "--termination-file", type=Path, help="where a failure is told in short; in a pod /dev/termination-log"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
