"""The results of a run that several shards asked: made once, of all their journals together, when all have ended."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from joulebench_runner.config import DriverSettings, MeterSettings
from joulebench_runner.errors import BadInputError, ExitCode, RunnerError, StoreError
from joulebench_runner.journal.names import JOURNAL_FOLDER, shard_folders
from joulebench_runner.kept_settings import keep_settings
from joulebench_runner.meter import termination
from joulebench_runner.meter.bringing import refuse_other_run
from joulebench_runner.pod.endings import Ending, ending_of, refuse_different_questions, together
from joulebench_runner.results import write_results
from joulebench_runner.results.stored import with_store_problem
from joulebench_runner.results.united import shard_journals, united
from joulebench_runner.store.bringing import bring_back
from joulebench_runner.store.opening import open_store
from joulebench_runner.store.patience import AT_THE_END
from joulebench_runner.store.uploading import is_segment, upload
from joulebench_runner.verdict import verdict

if TYPE_CHECKING:
    from joulebench_api.contracts.summary import Summary


class StoreAwayError(RunnerError):
    """The journals cannot be brought now; later they may."""

    exit_code = ExitCode.INFRASTRUCTURE


def run_finalise(
    settings: MeterSettings, driver: DriverSettings, *, shards: int, environ: Mapping[str, str]
) -> ExitCode:
    """Make and store the results; the exit code is the run's verdict. `settings`, `driver`: as if one pod had asked.

    Raises RunnerError for journals that cannot be brought or read, or are not of one run.
    """
    _bring(settings, environ)
    journals = shard_journals(settings.run_dir)
    if not journals:
        raise RunnerError("no shard has left a journal", remedy="See the logs of the runner's pods.")
    refuse_different_questions([*journals.values()])
    keep_settings(settings, settings_file=None, name="meter.json")
    keep_settings(driver, settings_file=None, name="driver.json")
    ending = together([ending_of(index, journals.get(index)) for index in range(shards)])
    summary = write_results(united([*journals.values()]), settings, outcome=ending.outcome, message=ending.message)
    summary = _stored(settings, summary, environ)
    if settings.termination_file is not None:
        message = termination.message_of(summary, energy=settings.energy, folder=settings.run_dir)
        termination.write(message, settings.termination_file)
    return _exit_code(ending, settings, summary)


def _bring(settings: MeterSettings, environ: Mapping[str, str]) -> None:
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    if settings.store is not None:
        try:
            bring_back(open_store(settings.store, environ=environ), settings.run_dir)
        except BadInputError as error:
            if isinstance(error.__cause__, StoreError):
                # The shards have written there, so it is a matter of time.
                raise StoreAwayError(error.message, remedy=error.remedy) from error
            raise
    for folder in shard_folders(settings.run_dir / JOURNAL_FOLDER).values():
        refuse_other_run(settings, folder)


def _stored(settings: MeterSettings, summary: "Summary", environ: Mapping[str, str]) -> "Summary":
    """Copy the results to the store, where the journals are already. Where that fails, the local summary says so."""
    if settings.store is None:
        return summary
    try:
        store = open_store(settings.store, environ=environ, patience=AT_THE_END)
        upload(store, settings.run_dir, skip=is_segment)
    except StoreError as error:
        print(f"joulebench finalise: {error.message}", file=sys.stderr)  # noqa: T201 - for the log
        return with_store_problem(summary, error, folder=settings.run_dir)
    return summary


def _exit_code(ending: Ending, settings: MeterSettings, summary: "Summary") -> ExitCode:
    """The verdict. Shards that were interrupted will not be gone on with when it comes to this."""
    code = verdict(ending.outcome, energy=settings.energy, summary=summary)
    return ExitCode.FAILED if code is ExitCode.INTERRUPTED else code
