"""The report: one page that shows a run, needs nothing else, and asks nobody for anything."""

from dataclasses import dataclass
from pathlib import Path

from joulebench_runner.errors import RunnerError
from joulebench_runner.results.folder import RunFolder, open_run

REPORT = "report.html"


@dataclass(frozen=True)
class Written:
    """A report that was written."""

    path: Path
    size_bytes: int
    questions: int
    shown: int
    withheld: str | None
    """Why texts were left out; None: they are in."""


def write_report(run: RunFolder, *, to: Path | None = None) -> Written:
    """Write the report of a run, by default into its folder. RunnerError where it cannot be written."""
    # Arrow, plotly and jinja2 take longer to import than `joulebench --help` may take.
    from joulebench_runner.report.page import render  # noqa: PLC0415
    from joulebench_runner.report.questions import shown_questions  # noqa: PLC0415
    from joulebench_runner.report.tables import read_tables  # noqa: PLC0415
    from joulebench_runner.results.write import replace_file  # noqa: PLC0415

    tables = read_tables(run)
    questions = shown_questions(run, tables)
    page = render(run, tables, questions).encode()
    path = to or run.path / REPORT
    try:
        replace_file(path, lambda new: new.write_bytes(page))
    except OSError as error:
        raise RunnerError(
            f"cannot write the report to {path}: {error}", remedy="Make room, or name another file with --out."
        ) from error
    return Written(path, len(page), tables.questions, len(questions.rows), questions.withheld)


def report_or_warning(folder: Path) -> str | None:
    """Write the report of a run that has just ended; what went wrong, in words, if anything did."""
    try:
        write_report(open_run(folder, partial=True))
    # The results are written and must not be lost to their picture, whatever is wrong with it.
    except Exception as error:  # noqa: BLE001
        return f"{REPORT} could not be written: {type(error).__name__}: {error}"
    return None
