"""How far a run is, as its meter says."""

from joulebench_api.contracts.meter import MeterStatus, Stage
from joulebench_api.v1alpha1.status import RunCounts, RunProgress


def progress(status: MeterStatus) -> RunProgress:
    """Counts, part and remaining time."""
    counts = status.progress
    completed = counts.answered + counts.errors
    return RunProgress(
        completed=completed,
        failed=counts.errors,
        total=counts.total,
        percent=_percent(completed, counts.total),
        eta_seconds=_remaining_seconds(status, completed),
        display=_display(completed, counts.total),
    )


def at_end(counts: RunCounts, total: int | None) -> RunProgress:
    """The same of a run that has ended; `total` as it was known."""
    completed = counts.asked or 0
    whole = max(total or 0, completed)
    return RunProgress(
        completed=completed,
        failed=counts.errors,
        total=whole,
        percent=_percent(completed, whole),
        display=_display(completed, whole),
    )


def _percent(completed: int, total: int | None) -> int | None:
    return min(100, 100 * completed // total) if total else None


def _display(completed: int, total: int | None) -> str:
    return f"{completed}/{'?' if total is None else total}"


def _remaining_seconds(status: MeterStatus, completed: int) -> int | None:
    """By the pace since the measured window began; None before, and while nothing is done."""
    done_now = completed - status.progress.finished_before
    total = status.progress.total
    if status.stage is not Stage.RUN or total is None or done_now <= 0:
        return None
    return max(0, round((total - completed) * status.stage_started_seconds_ago / done_now))
