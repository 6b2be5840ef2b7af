"""How the journal's files are called; apart from the schema, because pyarrow takes a while to import."""

from pathlib import Path
from typing import Final

JOURNAL_FOLDER: Final = "journal"
"""Of a run's folder: its segments, or a folder for each of its shards."""
SEGMENT_SUFFIX: Final = ".arrows"
_SHARD_PREFIX: Final = "shard-"


def shard_name(index: int) -> str:
    """The folder of one shard's segments, below JOURNAL_FOLDER."""
    return f"{_SHARD_PREFIX}{index}"


def segments_folder(run_dir: Path, shard: int | None) -> Path:
    """Where the segments of one meter lie: the run's only one, or that of a shard."""
    folder = run_dir / JOURNAL_FOLDER
    return folder if shard is None else folder / shard_name(shard)


def shard_folders(journal: Path) -> dict[int, Path]:
    """The folders of all shards by their index, in order; empty for a journal of one meter."""
    found = {path.name.removeprefix(_SHARD_PREFIX): path for path in journal.glob(f"{_SHARD_PREFIX}*")}
    return dict(sorted((int(number), path) for number, path in found.items() if number.isdecimal() and path.is_dir()))
