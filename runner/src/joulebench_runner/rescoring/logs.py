"""The samples of a run's inspect-ai logs. Imports inspect-ai."""

from collections.abc import Iterator
from pathlib import Path

from inspect_ai.log import EvalLog, EvalSample, read_eval_log

from joulebench_runner.errors import BadInputError
from joulebench_runner.rescoring.native import Metadata

LOGS = "logs"


def read_logs(run: Path) -> list[EvalLog]:
    """All logs of a run, oldest first; one for each start of its driver."""
    paths = sorted((run / LOGS).glob("*.eval"))
    if not paths:
        raise BadInputError(
            f"{run / LOGS} holds no .eval file, and the scorer needs what stands in it",
            remedy="Copy the whole folder of the run.",
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> EvalLog:
    try:
        return read_eval_log(str(path), resolve_attachments=True)
    # A log that was cut off is no zip file, or its JSON ends early; inspect-ai raises what its readers raise.
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise _unreadable(path, error) from error
    except Exception as error:
        if "zip" not in type(error).__name__.lower():
            raise
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BadInputError:
    return BadInputError(f"{path} cannot be read: {error}", remedy="It was cut off or damaged; copy it anew.")


def samples(logs: list[EvalLog]) -> Iterator[tuple[EvalLog, EvalSample]]:
    """Every sample that was asked, with its log."""
    for log in logs:
        for sample in log.samples or []:
            yield log, sample


def metadata(run: Path) -> Metadata:
    """The records' metadata."""
    return {(str(sample.id), sample.epoch): sample.metadata for _, sample in samples(read_logs(run))}
