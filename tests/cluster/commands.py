"""Running commands to their end, with a limit, and with an error that shows what they said."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError

COMMAND_SECONDS = 60.0
_SHOWN_LINES = 20


def run(
    argv: Sequence[str | Path],
    *,
    text: str | None = None,
    timeout_seconds: float = COMMAND_SECONDS,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """The standard output of a command that must succeed; `text` is its standard input.

    Raises:
        ClusterError: it failed or took too long; with the last lines that it wrote.
    """
    finished = attempt(argv, text=text, timeout_seconds=timeout_seconds, environment=environment, folder=folder)
    if finished.returncode != 0:
        raise ClusterError(
            f"{shown(argv)} ended with exit code {finished.returncode}: "
            f"{last_lines(finished.stderr or finished.stdout)}",
            remedy="see its words above",
        )
    return finished.stdout


def attempt(
    argv: Sequence[str | Path],
    *,
    text: str | None = None,
    timeout_seconds: float = COMMAND_SECONDS,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """The outcome of a command that may fail.

    Raises:
        ClusterError: it took too long, or there is no such command.
    """
    try:
        return subprocess.run(
            [str(word) for word in argv],
            # Without an input of its own a command would read, and wait for, ours.
            input=text or "",
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            env=None if environment is None else dict(environment),
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        said = last_lines(error.stderr.decode() if isinstance(error.stderr, bytes) else error.stderr or "")
        raise ClusterError(
            f"{shown(argv)} did not end within {timeout_seconds:g} s: {said}", remedy="see its words above"
        ) from error
    except FileNotFoundError as error:
        raise ClusterError(f"there is no command {argv[0]}", remedy="install it") from error


def shown(argv: Sequence[str | Path]) -> str:
    """A command as a person would write it, shortened."""
    text = " ".join(str(word) for word in argv)
    return text if len(text) <= 300 else f"{text[:300]}..."


def last_lines(text: str, count: int = _SHOWN_LINES) -> str:
    """The last lines of a text."""
    return "\n".join(text.strip().splitlines()[-count:])
