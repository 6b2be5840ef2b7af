"""`python -m joulebench_runner.servers.llamacpp`: llama.cpp's server from the prebuilt `xllamacpp` wheel.

It takes the flags of llama.cpp's own `llama-server`, as far as they are listed in `OPTIONS`, so that one command line
serves both. It logs to standard error, ends on SIGTERM, and dies with the process that started it.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joulebench_runner.processes import die_with_parent

GGUF_MAGIC: Final = b"GGUF"


@dataclass(frozen=True)
class _Option:
    """One flag of llama-server and the field of xllamacpp's CommonParams behind it."""

    flag: str
    field: str
    parse: Callable[[str], Any]
    help: str


OPTIONS: Final = (
    _Option("--ctx-size", "n_ctx", int, "context in tokens, shared by all slots (0: the model's own)"),
    _Option("--parallel", "n_parallel", int, "requests that are answered at once"),
    _Option("--batch-size", "n_batch", int, "most tokens of a prompt in one batch"),
    _Option("--ubatch-size", "n_ubatch", int, "most tokens in one physical batch"),
    _Option("--threads", "cpuparams.n_threads", int, "threads for decoding (-1: one a core)"),
    _Option("--threads-batch", "cpuparams_batch.n_threads", int, "threads for prefill (-1: as for decoding)"),
    _Option("--n-gpu-layers", "n_gpu_layers", int, "layers that lie on a GPU (-1: all that fit)"),
    _Option("--cache-ram", "cache_ram_mib", int, "memory for cached prompts in MiB (0: none)"),
    _Option("--api-key", "api_keys", lambda key: [key], "key that clients must send"),
    _Option("--seed", "sampling.seed", int, "seed for requests that bring none"),
)

SWITCHES: Final = (
    _Option("--metrics", "endpoint_metrics", bool, "serve Prometheus metrics at /metrics"),
    _Option("--embeddings", "embedding", bool, "serve embeddings (and nothing else)"),
    _Option("--cont-batching", "cont_batching", bool, "batch requests continuously"),
    _Option("--cache-prompt", "cache_prompt", bool, "keep and use the KV cache of earlier prompts"),
    _Option("--webui", "ui", bool, "serve the web page"),
    _Option("--warmup", "warmup", bool, "run the model once before it serves"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="joulebench-llamacpp", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--alias", required=True, help="name under which the model is served")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input is closed")
    for option in OPTIONS:
        parser.add_argument(option.flag, dest=option.field, type=option.parse, help=option.help)
    for switch in SWITCHES:
        parser.add_argument(switch.flag, dest=switch.field, action=argparse.BooleanOptionalAction, help=switch.help)
    return parser


def check_gguf(path: Path) -> str | None:
    """Why a file cannot be a model, or None; llama.cpp's own log would tell it late."""
    if not path.is_file():
        return f"there is no model file at {path}"
    with path.open("rb") as file:
        magic = file.read(len(GGUF_MAGIC))
    if magic != GGUF_MAGIC:
        return f"{path} is not a GGUF file (it begins with {magic!r}, not {GGUF_MAGIC!r})"
    return None


def _params(arguments: argparse.Namespace) -> Any:
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415 - loads native code; --help does without

    params = xllamacpp.CommonParams()
    params.model.path = str(arguments.model)
    params.model_alias = {arguments.alias}
    params.hostnames = [arguments.host]
    params.port = arguments.port
    for option in (*OPTIONS, *SWITCHES):
        value = getattr(arguments, option.field)
        if value is not None:
            _set(params, option.field, value)
    return params


def _set(params: Any, field: str, value: object) -> None:
    *path, name = field.split(".")
    for part in path:
        params = getattr(params, part)
    setattr(params, name, value)


_STOP: Final = (signal.SIGTERM, signal.SIGINT)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    arguments = _parser().parse_args(argv)
    problem = check_gguf(arguments.model)
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        return 2
    # Blocked before any thread exists, so that none, llama.cpp's above all, can take the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    if arguments.exit_with_stdin:
        die_with_parent(watch_stdin=True)
    return _serve(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    import xllamacpp  # noqa: PLC0415 - see _params

    try:
        server = xllamacpp.Server(_params(arguments))
    except RuntimeError as error:
        # llama.cpp has logged the cause (port in use, not enough memory, unknown architecture) above this line.
        sys.stderr.write(f"llama.cpp did not start: {error}\n")
        return 1
    sys.stderr.write(f"serving {arguments.alias} at {server.listening_address}\n")
    sys.stderr.flush()
    signal.sigwait(_STOP)
    # The destructor waits for open requests; at the end of a run there is nobody left to answer.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
