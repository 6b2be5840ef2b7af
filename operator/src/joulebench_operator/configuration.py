"""The configuration file of `--config`."""

from pathlib import Path

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.loading import load_all
from joulebench_operator.errors import BadOptionError


def read(path: Path | None) -> OperatorConfiguration:
    """The one OperatorConfiguration of a file; without a file, nothing is configured.

    Raises BadOptionError with everything that is wrong with it.
    """
    if path is None:
        return OperatorConfiguration()
    try:
        text = path.read_text()
    except OSError as error:
        raise BadOptionError(
            f"--config {path}: {error.strerror or error}", remedy="Name a file that is there."
        ) from error
    if not text.strip():
        return OperatorConfiguration()
    loaded = load_all(text, source=str(path))
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    if errors:
        raise BadOptionError("\n".join(map(str, errors)), remedy="`joulebench validate FILE` checks such files.")
    found = [one.value for one in loaded.documents if isinstance(one.value, OperatorConfiguration)]
    if len(found) != 1 or len(loaded.documents) != 1:
        kinds = ", ".join(one.kind for one in loaded.documents) or "nothing"
        raise BadOptionError(f"--config {path}: holds {kinds}", remedy="It must hold one OperatorConfiguration alone.")
    return found[0]
