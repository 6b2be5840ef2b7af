"""A run's results: built from its journal alone, written as `summary.json`, `provenance.json` and Parquet files."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from joulebench_api.contracts.meter import Stage
from joulebench_api.contracts.summary import Summary
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import BadInputError

if TYPE_CHECKING:
    from joulebench_runner.results.build import Results
    from joulebench_runner.results.tables import Journal

# Building results needs numpy and pyarrow, which take longer to import than `joulebench --help` may take. So that is
# imported where it is used.

Outcome = Literal["completed", "failed", "error-limit", "interrupted"]


def export(settings: MeterSettings, *, outcome: Outcome, message: str | None, remedy: str | None = None) -> Summary:
    """Build the results of a run from its journal and write them into its folder.

    May be done again at any time: it depends on the journal and the settings alone. RunnerError (JournalError) where
    the journal cannot be read or the folder not be written.
    """
    from joulebench_runner.results.united import whole_journal  # noqa: PLC0415 - see above

    began = time.monotonic()
    journal = whole_journal(settings.run_dir)
    return write_results(journal, settings, outcome=outcome, message=message, remedy=remedy, began=began)


def write_results(
    journal: "Journal",
    settings: MeterSettings,
    *,
    outcome: Outcome,
    message: str | None,
    remedy: str | None = None,
    began: float | None = None,
) -> Summary:
    """The same for a journal that was read already. `began`: when that was, by `time.monotonic`; None: just now."""
    from joulebench_runner.results.build import build  # noqa: PLC0415 - see above
    from joulebench_runner.results.model_files import describe  # noqa: PLC0415 - see above
    from joulebench_runner.results.write import write  # noqa: PLC0415 - see above

    began = time.monotonic() if began is None else began
    results = build(journal, settings, outcome=outcome, message=message, remedy=remedy)
    results.provenance["model_files"] = describe(settings.model_files)
    # The journal cannot hold the end of a stage that begins when it is closed.
    results = replace(results, summary=_with_export_time(results.summary, time.monotonic() - began))
    write(results, settings.run_dir)
    return _with_report(results, settings.run_dir).summary


def _with_report(results: "Results", folder: Path) -> "Results":
    """Write the page that shows the results. They stay as they are without it; then the summary says why."""
    from joulebench_runner.report import report_or_warning  # noqa: PLC0415 - see above
    from joulebench_runner.results.write import write_summary  # noqa: PLC0415 - see above

    warning = report_or_warning(folder)
    if warning is None:
        return results
    warned = results.summary.model_copy(update={"warnings": [*results.summary.warnings, warning]})
    # On a full disk the summary as it was stays; the warning is still told at the end of the run.
    with contextlib.suppress(OSError):
        write_summary(warned, folder)
    return replace(results, summary=warned)


def _with_export_time(summary: Summary, seconds: float) -> Summary:
    stages = [
        stage.model_copy(update={"seconds": seconds}) if stage.name is Stage.EXPORT else stage
        for stage in summary.stages
    ]
    return summary.model_copy(update={"stages": stages})


def load_summary(folder: Path) -> Summary:
    """Read the summary of a results folder; BadInputError where there is none."""
    path = folder / "summary.json"
    try:
        return Summary.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BadInputError(
            f"{folder} has no summary.json",
            remedy="Name a results folder, such as one that `joulebench run` has written.",
        ) from error
    except ValidationError as error:
        raise BadInputError(f"{path} is not a summary that this joulebench can read: {error}") from error
