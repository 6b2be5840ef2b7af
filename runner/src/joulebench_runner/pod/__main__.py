"""`python -m joulebench_runner.pod PART`: a container of a run's pod, told by the operator's `assignment.json`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from joulebench_runner.errors import ExitCode


def _stop(_number: int, _frame: object) -> None:
    sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    # Process 1 of a container does not even get signals that it has no handler for, and what follows takes seconds.
    signal.signal(signal.SIGTERM, _stop)

from joulebench_runner.pod.places import Places  # noqa: E402 - see above

_PARTS: Final = ("meter", "driver", "fetch", "preflight", "finalise")


def main(arguments: Sequence[str] | None = None) -> int:
    """Be one of the containers; its exit code."""
    options = _parser().parse_args(arguments)
    places = Places(options.root)
    places.make()
    return _part(options.part)(places, options.assignment or places.assignment)


def _part(name: str) -> Callable[[Places, Path], int]:
    from joulebench_runner.pod import parts  # noqa: PLC0415 - what one part needs, another does without

    part: Callable[[Places, Path], int] = getattr(parts, name)
    return part


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
