"""`python -m joulebench_runner.pod PART`: a container of a run's pod, told by the operator's `assignment.json`."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from joulebench_runner.errors import ExitCode
from joulebench_runner.pod import parts
from joulebench_runner.pod.places import Places

_PARTS: Final[Mapping[str, Callable[[Places, Path], int]]] = {
    "meter": parts.meter,
    "driver": parts.driver,
    "fetch": parts.fetch,
    "preflight": parts.preflight,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Be one of the containers; its exit code."""
    options = _parser().parse_args(arguments)
    # Process 1 of a container does not even get signals that it has no handler for.
    signal.signal(signal.SIGTERM, _stop)
    places = Places(options.root)
    places.make()
    return _PARTS[options.part](places, options.assignment or places.assignment)


def _stop(_number: int, _frame: object) -> None:
    sys.exit(ExitCode.INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m joulebench_runner.pod", description=__doc__)
    parser.add_argument("part", choices=[*_PARTS], metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--assignment", type=Path, metavar="PATH", help=f"another file than {Places().assignment}")
    parser.add_argument(
        "--root",
        type=lambda text: Path(text).absolute(),
        default=Places().root,
        metavar="DIR",
        help="for a trial on one machine: all paths of a pod lie below DIR, and ports are any free ones",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
