"""joulebench's own simulator: a server without a model. `engineArgs` are its flags (`joulebench-simulator --help`)."""

from collections.abc import Sequence

from joulebench_api.engines.arguments import render
from joulebench_api.engines.command import EngineCommand, serving
from joulebench_api.errors import UnsupportedSpecError
from joulebench_api.v1alpha1.model_server import ModelServerSpec, Parallelism

KEY_VARIABLE = "JOULEBENCH_SIMULATOR_API_KEY"


def command(
    spec: ModelServerSpec,
    *,
    model_path: str,  # noqa: ARG001 - there is no model
    host: str,
    port: int,
    program: Sequence[str] = ("joulebench-simulator",),
) -> EngineCommand:
    """The simulator's process; the spec's `model` is only a name.

    `parallelism.tensor` is the number of devices that share the work; whoever starts the process names their files
    (`device_count`). Raises UnsupportedSpecError for other ways of being parallel.
    """
    _check_parallelism(spec.parallelism)
    name = spec.served_model_name or spec.model or "simulator"
    context = () if spec.max_model_len is None else ("--max-model-len", str(spec.max_model_len))
    argv = (
        *program,
        *("--served-model-name", name, "--host", host, "--port", str(port)),
        *context,
        *render(spec.engine_args),
        *spec.args,
    )
    return serving(spec, argv=argv, port=port, served_model_name=name, key_variable=KEY_VARIABLE)


def device_count(spec: ModelServerSpec) -> int:
    """How many devices are simulated."""
    return spec.parallelism.tensor


def _check_parallelism(parallelism: Parallelism) -> None:
    for name in Parallelism.model_fields:
        value = getattr(parallelism, name)
        if value != 1 and name != "tensor":
            raise UnsupportedSpecError(
                f"parallelism.{name}: {value} cannot be had with the engine Simulator",
                remedy="use parallelism.tensor, the number of devices",
            )
