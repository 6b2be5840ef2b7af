"""llama.cpp's server (https://github.com/ggml-org/llama.cpp/tree/master/tools/server)."""

from collections.abc import Mapping, Sequence
from typing import Any

from joulebench_api.engines.arguments import render
from joulebench_api.engines.command import EngineCommand, VersionSource, serving
from joulebench_api.engines.presets import find_preset
from joulebench_api.errors import UnsupportedSpecError
from joulebench_api.problems import shown
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec, Parallelism

DEFAULT_SLOTS = 4
"""Requests that are worked on at once, when `maxModelLen` says how much memory each of them needs."""

KEY_VARIABLE = "LLAMA_API_KEY"
VERSION = VersionSource(path="/props", field="build_info")


def command(
    spec: ModelServerSpec, *, model_path: str, host: str, port: int, program: Sequence[str] = ("llama-server",)
) -> EngineCommand:
    """The server's process for a GGUF file at `model_path`.

    llama.cpp shares its context out to slots, one a request. So `--ctx-size` is maxModelLen times the slots
    (`engineArgs.parallel`, else four). Without maxModelLen the model's own context is used, and unless
    `engineArgs.parallel` says otherwise by one slot alone: no request is ever cut short unasked.

    Raises UnsupportedSpecError for what llama.cpp cannot do.
    """
    _check_parallelism(spec.parallelism)
    name = served_model_name(spec)
    context = max_model_len(spec)
    slots = _slots(spec.engine_args, default=1 if context is None else DEFAULT_SLOTS)
    others = {key: value for key, value in spec.engine_args.items() if key != "parallel"}
    argv = (
        *program,
        *("--model", model_path, "--alias", name, "--host", host, "--port", str(port)),
        *("--ctx-size", str(0 if context is None else context * slots), "--parallel", str(slots)),
        *("--metrics", "--no-webui"),
        *render(others),
        *spec.args,
    )
    return serving(spec, argv=argv, port=port, served_model_name=name, key_variable=KEY_VARIABLE, version=VERSION)


def served_model_name(spec: ModelServerSpec) -> str:
    """The name that requests call the model by. Raises UnknownNameError for an unknown preset."""
    if spec.served_model_name is not None:
        return spec.served_model_name
    return spec.model if spec.model is not None else find_preset(spec.preset or "").model_name


def max_model_len(spec: ModelServerSpec) -> int | None:
    """Tokens that one request may have; None: the model's own context."""
    if spec.max_model_len is not None or spec.preset is None:
        return spec.max_model_len
    return find_preset(spec.preset).max_model_len


def _slots(options: Mapping[str, Any], *, default: int) -> int:
    value = options.get("parallel")
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UnsupportedSpecError(
            f"engineArgs.parallel: {shown(value)} is not a number of slots", remedy="write a whole number from 1 up"
        )
    return value


def _check_parallelism(parallelism: Parallelism) -> None:
    for name in Parallelism.model_fields:
        value = getattr(parallelism, name)
        if value != 1:
            raise UnsupportedSpecError(
                f"parallelism.{name}: {value} cannot be had with the engine {Engine.LLAMA_CPP}",
                remedy="use one node; llama.cpp spreads layers over devices by engineArgs split-mode and tensor-split",
            )
