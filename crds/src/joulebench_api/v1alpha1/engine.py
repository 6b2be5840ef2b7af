"""The engines, and which of their options belong to fields of their own."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Engine(StrEnum):
    """Programs that serve a model behind an OpenAI-compatible address."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    OLLAMA = "Ollama"
    LLAMA_CPP = "LlamaCpp"
    SIMULATOR = "Simulator"


SET_BY_JOULEBENCH = "joulebench"
"""Owner of options that no field sets: joulebench chooses them for each process."""

_ANY_ENGINE = {
    "host": SET_BY_JOULEBENCH,
    "port": SET_BY_JOULEBENCH,
    "model": "model",
    "served-model-name": "servedModelName",
    "api-key": "apiKeySecretRef",
}

# Option names as in the engines' own command lines.
_OWNED: Mapping[Engine, Mapping[str, str]] = {
    Engine.VLLM: {
        "uds": SET_BY_JOULEBENCH,
        "revision": "revision",
        "hf-token": "huggingFaceTokenSecretRef",
        "max-model-len": "maxModelLen",
        "tensor-parallel-size": "parallelism.tensor",
        "tp": "parallelism.tensor",
        "pipeline-parallel-size": "parallelism.pipeline",
        "pp": "parallelism.pipeline",
        "data-parallel-size": "parallelism.data",
        "dp": "parallelism.data",
        "nnodes": "parallelism.nodes",
    },
    Engine.SGLANG: {
        "model-path": "model",
        "revision": "revision",
        "context-length": "maxModelLen",
        "tensor-parallel-size": "parallelism.tensor",
        "tp-size": "parallelism.tensor",
        "tp": "parallelism.tensor",
        "pipeline-parallel-size": "parallelism.pipeline",
        "pp-size": "parallelism.pipeline",
        "data-parallel-size": "parallelism.data",
        "dp-size": "parallelism.data",
        "dp": "parallelism.data",
        "nnodes": "parallelism.nodes",
        "enable-metrics": SET_BY_JOULEBENCH,
    },
    Engine.OLLAMA: {},
    Engine.LLAMA_CPP: {
        "alias": "servedModelName",
        "model-url": "model",
        "hf-repo": "model",
        "hf-file": "model",
        "hf-token": "huggingFaceTokenSecretRef",
        "api-key-file": "apiKeySecretRef",
        "ctx-size": "maxModelLen",
        "metrics": SET_BY_JOULEBENCH,
        "webui": SET_BY_JOULEBENCH,
    },
    Engine.SIMULATOR: {"max-model-len": "maxModelLen"},
}


def spellings(option: str) -> tuple[str, ...]:
    """The ways to write an option that the CRD can forbid one by one; `no-metrics: true` is `metrics: false`."""
    names = (option, f"no-{option}")
    return tuple(dict.fromkeys(way for name in names for way in (name, name.replace("-", "_"))))


def owned_options(engine: Engine | None) -> Mapping[str, str]:
    """Options that `engineArgs` must not hold, with the field (below `spec`) that sets each instead."""
    return MappingProxyType(_ANY_ENGINE | (dict(_OWNED[engine]) if engine is not None else {}))
