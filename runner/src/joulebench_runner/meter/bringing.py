"""A pod's meter brings its run back before it begins: the folder of a new pod may be empty, or another run's."""

from collections.abc import Mapping
from pathlib import Path

from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.journal.reader import read
from joulebench_runner.store.bringing import bring_back
from joulebench_runner.store.opening import open_store


def bring_run_back(settings: MeterSettings, *, environ: Mapping[str, str]) -> None:
    """Bring what the store has of the run and the folder lacks.

    Raises BadInputError if the store cannot be read, or if what lies there is not this run's.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    if settings.store is not None:
        own = None if settings.shard is None else settings.journal_folder.relative_to(settings.run_dir).as_posix()
        bring_back(open_store(settings.store, environ=environ), settings.run_dir, below=own)
    refuse_other_run(settings, settings.journal_folder)


def refuse_other_run(settings: MeterSettings, folder: Path) -> None:
    """Raise BadInputError if a folder of segments is another run's."""
    found = {segment.run_id for segment in read(folder).segments} - {settings.run_id}
    if found:
        where = settings.run_dir if settings.store is None else settings.store.url
        raise BadInputError(
            f"run_id: {where} holds the journal of run {', '.join(sorted(found))}, not of {settings.run_id}",
            remedy="Give each run a folder of its own in its store or claim.",
        )
