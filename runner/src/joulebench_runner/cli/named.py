"""The folder of a run that a user names: a path, or `brun/NAME` for a run on a cluster.

What is on a cluster is brought by whoever offers it (entry point `joulebench.folders`): this package knows no cluster.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from joulebench_runner.errors import BadInputError


@contextmanager
def run_folder(named: str) -> Iterator[Path]:
    """The run's folder; one that was brought goes when the block ends. Raises BadInputError where nobody brings it."""
    kind, _, name = named.partition("/")
    if Path(named).exists() or not name or kind != "brun":
        yield Path(named)
        return
    points = {point.name: point for point in entry_points(group="joulebench.folders")}
    if kind not in points:
        raise BadInputError(f"{named}: runs on clusters are not known here", remedy="pip install joulebench-operator")
    bring: Callable[[str, Path], None] = points[kind].load()
    with tempfile.TemporaryDirectory(prefix="joulebench-") as scratch:
        target = Path(scratch) / name.rpartition("/")[2]
        bring(name, target)
        yield target


def is_brought(named: str, folder: Path) -> bool:
    """Whether the folder is a copy that will be gone."""
    return folder != Path(named)
