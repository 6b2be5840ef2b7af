"""Which engines have a command line, and which engine a server uses."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from joulebench_api.engines import llamacpp, simulator, vllm
from joulebench_api.engines.command import EngineCommand
from joulebench_api.engines.presets import find_preset
from joulebench_api.errors import UnknownNameError, UnsupportedSpecError
from joulebench_api.names import did_you_mean, joined
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec


class Builder(Protocol):
    """Makes an engine's command from a server's spec."""

    def __call__(
        self, spec: ModelServerSpec, *, model_path: str, host: str, port: int, program: Sequence[str] = ...
    ) -> EngineCommand:
        """The command; raises ApiError for what the engine cannot do."""


BUILDERS: Mapping[Engine, Builder] = MappingProxyType(
    {Engine.VLLM: vllm.command, Engine.LLAMA_CPP: llamacpp.command, Engine.SIMULATOR: simulator.command}
)
"""The engines that can be started."""

LOCAL = (Engine.LLAMA_CPP, Engine.SIMULATOR)
"""The engines that a local run starts by itself, since they come with joulebench; the others need a cluster."""


def builder(engine: Engine | str) -> Builder:
    """The engine's builder. Raises UnknownNameError that names the engines that can be started."""
    if engine in set(Engine) and Engine(engine) in BUILDERS:
        return BUILDERS[Engine(engine)]
    available = f"engines that can be started: {joined(list(BUILDERS))}"
    if engine in set(Engine):
        raise UnknownNameError(
            f"spec.engine: {engine} cannot be started by joulebench yet; {available}",
            remedy="start it yourself and name it by server.external.url",
        )
    raise UnknownNameError(
        f"spec.engine: '{engine}' is not an engine; {available}", remedy=did_you_mean(engine, list(Engine))
    )


def local_builder(engine: Engine | str) -> Builder:
    """The builder of an engine that a local run starts. Raises UnknownNameError for those that need a cluster."""
    found = builder(engine)
    if engine in LOCAL:
        return found
    raise UnknownNameError(
        f"spec.engine: {engine} cannot be started by a local run; engines that can: {joined(list(LOCAL))}",
        remedy="run it on a cluster, or start it yourself and name it by server.external.url",
    )


def engine_of(spec: ModelServerSpec) -> Engine:
    """The engine that serves: the spec's or the preset's. Raises ApiError for an unknown preset, or if they differ."""
    if spec.preset is None:
        if spec.engine is None:
            raise UnsupportedSpecError("spec.engine: required, but missing", remedy="add engine or preset")
        return spec.engine
    preset = find_preset(spec.preset)
    if spec.engine not in (None, preset.engine):
        raise UnsupportedSpecError(
            f"spec.engine: {spec.engine} is not the engine of the preset {preset.name}, which is {preset.engine}",
            remedy="remove engine",
        )
    return preset.engine
