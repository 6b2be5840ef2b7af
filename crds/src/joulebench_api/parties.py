"""The models that a run asks: the one under test, submodels and the judge. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from joulebench_api.contracts.identity import JUDGE_ALIAS, MODEL_ALIAS
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.generation import Generation
from joulebench_api.v1alpha1.server_source import ServerSource


@dataclass(frozen=True)
class Party:
    """One model, and where it is."""

    alias: str
    role: Literal["model", "judge", "submodel"]
    field: str
    """Its place in the run, for messages: `spec.judge.server`."""
    source: ServerSource
    generation: Generation | None = None
    """How it is asked."""


def parties(spec: BenchmarkRunSpec) -> Iterator[Party]:
    """All models of a run, the one under test first."""
    yield Party(MODEL_ALIAS, "model", "spec.server", spec.server, spec.generation)
    for index, submodel in enumerate(spec.submodels):
        field = f"spec.submodels[{index}].server"
        yield Party(submodel.name, "submodel", field, submodel.server, submodel.generation)
    if spec.judge is not None:
        yield Party(JUDGE_ALIAS, "judge", "spec.judge.server", spec.judge.server, spec.judge.generation)
