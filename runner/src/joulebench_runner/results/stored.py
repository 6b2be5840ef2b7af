"""The local summary says whether the copy in the store is whole."""

from pathlib import Path

from joulebench_api.contracts.summary import Summary
from joulebench_runner.errors import StoreError
from joulebench_runner.results.write import write_summary


def with_store_problem(summary: Summary, error: StoreError, *, folder: Path) -> Summary:
    """Write into the summary in `folder` why the run is not in its store; returns that summary."""
    return _rewritten(summary, f"{error.message}. {error.remedy}" if error.remedy else error.message, folder=folder)


def without_store_problem(summary: Summary, *, folder: Path) -> Summary:
    """Write into the summary in `folder` that nothing hinders the copy (any more); returns that summary."""
    return _rewritten(summary, None, folder=folder)


def _rewritten(summary: Summary, problem: str | None, *, folder: Path) -> Summary:
    if summary.stored is None:
        return summary
    changed = summary.model_copy(update={"stored": summary.stored.model_copy(update={"problem": problem})})
    write_summary(changed, folder)
    return changed
