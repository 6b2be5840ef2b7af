"""`settings/run.json`: which run a folder holds, and what must stay the same for it to go on."""

from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from joulebench_runner.config import Settings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.folder import JOURNAL, RUN_FILE, SETTINGS, holds_run


class Start(Settings):
    """One start of a run: the first, or one that went on."""

    at: str
    """RFC 3339, UTC."""
    joulebench: str | None
    """Version."""


class RunFile(Settings):
    """The identity of the run in a folder."""

    run_id: str
    rerun_token: str | None = None
    same: dict[str, JsonValue]
    """See `joulebench_runner.local.sameness`."""
    starts: list[Start] = Field(default_factory=list)


def find_run(folder: Path) -> RunFile | None:
    """The run that a folder holds; None for a folder without one. Raises BadInputError for what cannot be gone on with.

    A run that never came to journal anything is none: the folder is as good as new.
    """
    path = folder / SETTINGS / RUN_FILE
    if not folder.exists() or not holds_run(folder):
        return None
    if not (folder / JOURNAL).exists() or not path.exists():
        raise BadInputError(
            f"{folder} already holds a run that cannot be gone on with: it has no {_missing(folder)}",
            remedy="choose another folder with --out, or remove that one first",
        )
    try:
        return RunFile.read(path)
    except (OSError, ValidationError) as error:
        raise BadInputError(
            f"{path} cannot be read: {error}", remedy="choose another folder with --out, or mend the file"
        ) from error


def _missing(folder: Path) -> str:
    return f"{SETTINGS}/{RUN_FILE}" if (folder / JOURNAL).exists() else JOURNAL
