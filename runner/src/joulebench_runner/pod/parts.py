"""The containers of a run's pod: each makes its settings of the assignment and goes on as one made by hand."""

import os
import sys
from pathlib import Path

from pydantic import JsonValue

from joulebench_runner.driver.environment import use_driver_environment
from joulebench_runner.errors import RunnerError
from joulebench_runner.pod.assignment import IncompatibleError, read_assignment
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.settings import driver_settings, meter_settings, reason_not_to_fetch, task_settings
from joulebench_runner.pod.shards import shard_of
from joulebench_runner.surroundings import describe_machine, describe_versions


def meter(places: Places, assignment_file: Path) -> int:
    """The container `meter`; its exit code is the run's verdict."""
    from joulebench_runner.meter.process import failed, run_meter  # noqa: PLC0415 - the other parts need no server

    try:
        assignment = read_assignment(assignment_file)
        settings = meter_settings(
            assignment,
            places,
            environ=os.environ,
            surroundings=_surroundings(),
            shard=shard_of(assignment, environ=os.environ),
        )
    except RunnerError as error:
        return failed(error, outcome_file=places.meter_outcome, termination_file=places.termination)
    return run_meter(settings, settings_file=None)


def driver(places: Places, assignment_file: Path) -> int:
    """The container `driver`."""
    from joulebench_runner.driver.process import run_driver  # noqa: PLC0415 - see above

    try:
        assignment = read_assignment(assignment_file)
        settings = driver_settings(assignment, places, shard=shard_of(assignment, environ=os.environ))
    except RunnerError as error:
        _say("driver", f"{error.message}\n  {error.remedy}")
        return error.exit_code
    return run_driver(settings, settings_file=None)


def finalise(places: Places, assignment_file: Path) -> int:
    """The container `finalise`, after all shards of a run: results of their journals; its exit code is the verdict."""
    from joulebench_runner.meter.process import failed  # noqa: PLC0415 - see above
    from joulebench_runner.pod.finalising import run_finalise  # noqa: PLC0415 - see above

    try:
        assignment = read_assignment(assignment_file)
        settings = meter_settings(assignment, places, environ=os.environ, surroundings=_surroundings())
        return run_finalise(
            settings, driver_settings(assignment, places), shards=assignment.run.spec.shards, environ=os.environ
        )
    except RunnerError as error:
        return failed(error, outcome_file=None, termination_file=places.termination)


def fetch(places: Places, assignment_file: Path) -> int:
    """The init container `fetch`: the questions into the folder that the driver reads."""
    from joulebench_runner.fetch import failed, run_fetch  # noqa: PLC0415 - see above

    try:
        assignment = read_assignment(assignment_file)
        reason = reason_not_to_fetch(assignment, places)
    except RunnerError as error:
        return failed(error, task=None, termination_file=places.termination)
    if reason is not None:
        print(f"{assignment.run.spec.task.name}: {reason}; there is nothing to fetch", flush=True)  # noqa: T201 - the log
        return 0
    return run_fetch(task_settings(assignment, places), termination_file=places.termination)


def preflight(places: Places, assignment_file: Path) -> int:
    """The container `preflight`: 0 if all is good, 2 if something is not, 75 if it is not known now."""
    use_driver_environment()
    from joulebench_runner.pod.preflight import run  # noqa: PLC0415 - libraries read the environment on import

    try:
        found = run.look(read_assignment(assignment_file), places, environ=os.environ)
    except IncompatibleError as error:
        found = run.incompatible(error)
    except RunnerError as error:
        _say("preflight", f"{error.message}\n  {error.remedy}")
        return error.exit_code
    print(run.in_words(found), flush=True)  # noqa: T201 - the container's log
    places.termination.write_text(found.report().as_message())
    return found.exit_code


def _surroundings() -> dict[str, JsonValue]:
    return {"machine": describe_machine(), "versions": describe_versions()}


def _say(part: str, words: str) -> None:
    print(f"joulebench {part}: {words}", file=sys.stderr, flush=True)  # noqa: T201 - a container's log
