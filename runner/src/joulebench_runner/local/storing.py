"""What a local run does with its store before it begins: look whether it works, bring the run back, finish a copy."""

import os
from pathlib import Path

from joulebench_api.contracts.summary import Summary
from joulebench_api.loading import Loaded
from joulebench_runner.errors import RunnerError, StoreError
from joulebench_runner.results import load_summary
from joulebench_runner.store import Store, bring_back, check_writable, open_store, store_settings, upload
from joulebench_runner.store.patience import AT_THE_END
from joulebench_runner.store.uploading import SUMMARY


def working_store(loaded: Loaded, *, folder: Path) -> Store | None:
    """The store that the file names, found to be writable; None where it names none. Raises BadInputError."""
    named = loaded.run.spec.results.store
    if named is None or named.object_store is None:
        return None
    settings = store_settings(named.object_store, run_name=loaded.run.metadata.name, environ=os.environ)
    store = open_store(settings, environ=os.environ)
    check_writable(store, run_dir=folder)
    return store


def bring_run_back(store: Store | None, folder: Path) -> bool:
    """See `joulebench_runner.store.bring_back`; False without a store."""
    return store is not None and bring_back(store, folder)


def finish_copy(store: Store | None, folder: Path, *, below: Path) -> bool:
    """Copy a completed run whose results lie in `folder` alone, to `below` in the store; whether there was one.

    Raises RunnerError if the store is away for too long; the summary in `folder` says so then.
    """
    if store is None or not (folder / SUMMARY).exists():
        return False
    store = store.below(below)
    summary = load_summary(folder)
    if summary.state != "completed" or summary.stored is None or store.exists(SUMMARY):
        return False
    _copy(store, folder, summary)
    return True


def _copy(store: Store, folder: Path, summary: Summary) -> None:
    from joulebench_runner.results.stored import with_store_problem, without_store_problem  # noqa: PLC0415 - needs pyarrow

    whole = without_store_problem(summary, folder=folder)
    try:
        upload(store.with_patience(AT_THE_END), folder)
    except StoreError as error:
        with_store_problem(whole, error, folder=folder)
        raise RunnerError(error.message, remedy=error.remedy) from error
