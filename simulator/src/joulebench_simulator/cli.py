"""The command `joulebench-simulator`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from joulebench_simulator import __version__, durations
from joulebench_simulator.errors import SimulatorError
from joulebench_simulator.faults import DESCRIPTIONS, WHEN

KEY_VARIABLE: Final = "JOULEBENCH_SIMULATOR_API_KEY"
DEVICES_VARIABLE: Final = "JOULEBENCH_SIMULATOR_DEVICES"

_DESCRIPTION = """\
An OpenAI-compatible server that needs no GPU and no model, and knows what each request truly costs.

It batches continuously, step by step, as vLLM does, answers the same to the same question (of one seed), fails on
demand, and writes the energy of its simulated devices into device files, from which joulebench's exporter and the
NVML stub read."""

_FAULTS = "\n".join(f"  {kind:<12} {text}" for kind, text in DESCRIPTIONS.items())

_EPILOG = f"""\
answers:
  A file of answers has one JSON object a line. One of "prompt" (the user's last message), "contains" (a part of what is
  asked) and "sha256" (of the user's last message, or its beginning) says which requests it is for; "answer" is what is
  said; "wrong" is said instead where --right makes a mistake; "tool_calls": [{{"name": ..., "arguments": {{...}}}}].

faults (--fault KIND,detail=value,...; a request may ask for its own with the header X-Joulebench-Fault):
{_FAULTS}
  when: {WHEN}

environment:
  {KEY_VARIABLE}  the key that clients must send, if any
  {DEVICES_VARIABLE}  device files that a container was given, separated by colons: devices that others made and
                                show, such as a device plugin of Kubernetes; used where there is no --device-file

examples:
  joulebench-simulator --port 8000
  joulebench-simulator --port 8000 --speed unlimited --answer-with echo
  joulebench-simulator --port 8000 --answers answers.jsonl --right 0.7 --seed 7
  joulebench-simulator --port 8000 --device-file /tmp/gpus/0.device --log /tmp/truth.jsonl
  joulebench-simulator --port 8000 --fault status,code=429,retry-after=1,until=5s --fault close,probability=0.05

exit status: 0 stopped by signal or by the end of stdin, 1 failed while running, 2 could not start as told
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parsed = parser().parse_args(arguments)
    try:
        from joulebench_simulator.server import check, serve  # noqa: PLC0415 - --help is answered at once

        if parsed.check:
            return check(parsed)
        api_key = os.environ.get(KEY_VARIABLE) or None
        return serve(parsed, api_key=api_key, given=_paths(os.environ.get(DEVICES_VARIABLE, "")))
    except SimulatorError as error:
        remedy = f"\n{error.remedy}" if error.remedy else ""
        sys.stderr.write(f"joulebench-simulator: {error.message}{remedy}\n")
        return error.exit_code


def _paths(text: str) -> Sequence[Path]:
    return [Path(part) for part in text.split(":") if part]


def parser() -> argparse.ArgumentParser:
    """All options."""
    made = argparse.ArgumentParser(
        prog="joulebench-simulator",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _serving(made.add_argument_group("where it serves"))
    _answers(made.add_argument_group("what it answers"))
    _batching(made.add_argument_group("how it batches, and how fast it is"))
    _energy(made.add_argument_group("what it costs"))
    _faults(made.add_argument_group("what goes wrong"))
    made.add_argument("--version", action="version", version=f"joulebench-simulator {__version__}")
    return made


def _serving(group: Any) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    group.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free one (8000)")
    group.add_argument("--served-model-name", metavar="NAME", default="simulator", help="the model's name (simulator)")
    group.add_argument("--max-model-len", metavar="TOKENS", type=_count, default=32_768, help="context length (32768)")
    group.add_argument("--start-delay", metavar="TIME", type=_duration, default=0, help="answers 503 for so long (0s)")
    group.add_argument(
        "--ready-file", metavar="PATH", type=Path, help="written (JSON: url, pid) once it listens, removed at the end"
    )
    group.add_argument("--exit-with-stdin", action="store_true", help="end when stdin is closed")
    group.add_argument("--check", action="store_true", help="say whether all options are good, and start nothing")


def _answers(group: Any) -> None:
    group.add_argument("--seed", type=int, default=0, help="same seed, same answers (0)")
    group.add_argument("--answers", metavar="FILE", type=Path, help="JSONL file of answers (see below)")
    group.add_argument(
        "--right", metavar="P", type=_part, default=1.0, help="probability that the file's answer is given right (1)"
    )
    group.add_argument(
        "--preface-words", metavar="LEAST-MOST", type=_preface, default="0-0",
        help="so many words by chance before what the file says (0-0)",
    )  # fmt: skip
    group.add_argument(
        "--answer-with", choices=["drawn", "echo"], default="drawn",
        help="what the file does not know: words by chance, or the question again (drawn)",
    )  # fmt: skip
    group.add_argument(
        "--words", metavar="LEAST-MOST", type=_range, default="8-64", help="length of answers drawn by chance (8-64)"
    )
    group.add_argument(
        "--tool-calls", metavar="P", type=_part, default=0.0,
        help="probability that an offered tool is called, where neither request nor file say (0)",
    )  # fmt: skip


def _batching(group: Any) -> None:
    group.add_argument("--max-num-seqs", metavar="N", type=_count, default=256, help="most sequences at once (256)")
    group.add_argument(
        "--max-num-batched-tokens", metavar="N", type=_count, default=8192, help="most tokens in a step (8192)"
    )
    group.add_argument(
        "--kv-cache-tokens", metavar="N", type=_count, default=262_144, help="size of the KV cache (262144)"
    )
    group.add_argument(
        "--prefix-cache", action=argparse.BooleanOptionalAction, default=False,
        help="beginnings of prompts that were seen before cost nothing (off)",
    )  # fmt: skip
    group.add_argument("--step-time", metavar="TIME", type=_duration, default="6ms", help="of any step (6ms)")
    group.add_argument(
        "--prefill-token-time", metavar="TIME", type=_duration, default="40us", help="of each token of a prompt (40us)"
    )
    group.add_argument(
        "--decode-token-time", metavar="TIME", type=_duration, default="60us", help="of each sequence's token (60us)"
    )
    group.add_argument(
        "--speed", metavar="FACTOR", type=_speed, default="1", help="divides all these times; or: unlimited (1)"
    )


def _energy(group: Any) -> None:
    group.add_argument(
        "--device-file", metavar="PATH", type=Path, action="append", default=[],
        help="where a device shows its energy; several times for several devices, which share the work",
    )  # fmt: skip
    group.add_argument(
        "--device-id",
        metavar="TEXT",
        help="makes the devices' UUIDs, so that another file may be the same device (its path)",
    )
    group.add_argument("--device-name", metavar="NAME", default="Simulated GPU", help="product name (Simulated GPU)")
    group.add_argument("--device-memory-gib", metavar="GIB", type=_count, default=80, help="of each device (80)")
    group.add_argument("--resting-watts", metavar="W", type=_amount, default=120.0, help="of each device, always (120)")
    group.add_argument(
        "--busy-watts", metavar="W", type=_amount, default=150.0, help="more while a step is computed (150)"
    )
    group.add_argument(
        "--prefill-token-joules", metavar="J", type=_amount, default=0.055, help="of each token of a prompt (0.055)"
    )
    group.add_argument(
        "--decode-token-joules", metavar="J", type=_amount, default=0.14, help="of each token of an answer (0.14)"
    )
    group.add_argument(
        "--log", metavar="FILE", type=Path,
        help="appends a JSON line for each request that ended, with its true energy",
    )  # fmt: skip


def _faults(group: Any) -> None:
    group.add_argument(
        "--fault", metavar="RULE", action="append", default=[], help="a fault (see below); several times for several"
    )
    group.add_argument("--faults", metavar="FILE", type=Path, help="JSON file with a list of faults")


def _checked(read: Callable[[str], Any], fine: Callable[[Any], bool], what: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from error
        if not fine(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


def _duration(text: str) -> int:
    try:
        return durations.parse_ns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _read_range(text: str) -> tuple[int, int]:
    least, _, most = text.partition("-")
    return int(least), int(most or least)


_count = _checked(int, lambda value: value >= 1, "a whole number from 1 up")
_part = _checked(float, lambda value: 0.0 <= value <= 1.0, "a number from 0 to 1")
_amount = _checked(float, lambda value: 0.0 <= value <= 1e6, "a number from 0 up")
_range = _checked(_read_range, lambda value: 1 <= value[0] <= value[1], "two whole numbers such as 8-64")
_preface = _checked(_read_range, lambda value: 0 <= value[0] <= value[1], "two whole numbers such as 0-20")
_speed = _checked(
    lambda text: float("inf") if text == "unlimited" else float(text), lambda value: value > 0, "a factor or unlimited"
)
