"""vLLM's server (https://docs.vllm.ai/en/stable/cli/serve/)."""

from collections.abc import Iterator, Sequence
from typing import Any

from joulebench_api.engines.arguments import render, text
from joulebench_api.engines.command import EngineCommand, serving
from joulebench_api.engines.vllm_options import vllm_options
from joulebench_api.errors import UnsupportedSpecError
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec, Parallelism

DEFAULT_IMAGE = "vllm/vllm-openai:v0.33.0"
"""Where neither the server nor an administrator names another."""

KEY_VARIABLE = "VLLM_API_KEY"

_STREAMER = "runai_streamer"
"""The loader that reads object stores."""


def command(
    spec: ModelServerSpec, *, model_path: str, host: str, port: int, program: Sequence[str] = ("vllm", "serve")
) -> EngineCommand:
    """The server's process; `model_path` is a model's name on the hub, a folder, or the address of a store.

    Raises UnsupportedSpecError for what one process cannot do.
    """
    _check_nodes(spec.parallelism)
    name = spec.served_model_name or spec.model or ""
    argv = (
        *program,
        model_path,
        *("--host", host, "--port", str(port), "--served-model-name", name),
        *_typed(spec),
        *(part for key, value in spec.engine_args.items() for part in _option(key, value)),
        *spec.args,
    )
    return serving(spec, argv=argv, port=port, served_model_name=name, key_variable=KEY_VARIABLE)


def revision(spec: ModelServerSpec) -> str | None:
    """The model's revision on the hub, if one is named and the model comes from there."""
    if spec.source is None:
        return spec.revision
    return None if spec.source.hub is None else spec.revision or spec.source.hub.revision


def _typed(spec: ModelServerSpec) -> Iterator[str]:
    """The options that fields of their own set."""
    pinned = revision(spec)
    if pinned is not None:
        yield from ("--revision", pinned)
    for field in ("tensor", "pipeline", "data"):
        size = getattr(spec.parallelism, field)
        if size != 1:
            yield from (f"--{field}-parallel-size", str(size))
    if spec.max_model_len is not None:
        yield from ("--max-model-len", str(spec.max_model_len))
    if spec.source is not None and spec.source.object_store is not None and "load-format" not in spec.engine_args:
        yield from ("--load-format", _STREAMER)


def _option(key: str, value: Any) -> tuple[str, ...]:
    """As all engines have it, but for lists: vLLM wants some of them after one name, and some as JSON."""
    known = vllm_options()
    if isinstance(value, list | tuple) and value and key in known.several:
        return (f"--{key}", *map(text, value))
    if isinstance(value, list | tuple) and key in known.json:
        return (f"--{key}", text(list(value)))
    return render({key: value})


def _check_nodes(parallelism: Parallelism) -> None:
    if parallelism.nodes != 1:
        raise UnsupportedSpecError(
            f"spec.parallelism.nodes: {parallelism.nodes} nodes cannot be had yet with the engine {Engine.VLLM}",
            remedy="use the accelerators of one node",
        )
