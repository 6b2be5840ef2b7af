"""Defaults that stand behind what people write: built in, and from the operator's configuration.

None of them is a schema default, so that what was chosen stays known. A schema default always says something, so none
of the fields here has one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from joulebench_api.merging.layers import Written, merge_all, written
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun, BenchmarkRunSpec
from joulebench_api.v1alpha1.model_server import ModelServerSpec

if TYPE_CHECKING:
    from joulebench_api.configuration import Defaults, OperatorConfiguration

BUILT_IN: Final[Written] = {
    "concurrency": 1,
    "energy": {"policy": "Preferred", "attribution": "Phase", "idleBaseline": "30s", "minCoveragePercent": 99},
    "results": {"store": {"claimTemplate": {"size": "10Gi"}}},
}
"""What counts for a run where nobody says anything."""

_NOT_OF_RUNS = frozenset({"modelServer", "hub"})


def resolve(run: BenchmarkRun, *, configuration: "OperatorConfiguration | None" = None) -> BenchmarkRun:
    """The run with defaults filled in where it says nothing; what it says is never changed.

    The configuration's entry for the run's namespace goes before the configuration's defaults, and both before what
    is built in. Raises pydantic's ValidationError if they do not fit together with what the run says.
    """
    layers = [BUILT_IN, *_run_layers(configuration, run.metadata.namespace), written(run.spec)]
    spec = merge_all(layers, model=BenchmarkRunSpec)
    return run.model_copy(update={"spec": BenchmarkRunSpec.model_validate(spec)})


def resolve_server(
    spec: ModelServerSpec, *, configuration: "OperatorConfiguration", namespace: str | None
) -> ModelServerSpec:
    """The server with the configuration's defaults filled in, from the lowest: for all servers, for its engine, for the
    namespace, its accelerator profile, its preset. A preset of the configuration is replaced by what it stands for.

    Raises pydantic's ValidationError if they do not fit together with what the server says.
    """
    layers = list(_server_layers(spec, configuration, namespace))
    return ModelServerSpec.model_validate(merge_all(layers, model=ModelServerSpec))


def _levels(configuration: "OperatorConfiguration | None", namespace: str | None) -> "list[Defaults]":
    if configuration is None:
        return []
    own = None if namespace is None else configuration.namespaces.get(namespace)
    return [configuration.defaults] if own is None else [configuration.defaults, own]


def _run_layers(configuration: "OperatorConfiguration | None", namespace: str | None) -> Iterator[Written]:
    for level in _levels(configuration, namespace):
        yield {field: value for field, value in written(level).items() if field not in _NOT_OF_RUNS}


def _server_layers(
    spec: ModelServerSpec, configuration: "OperatorConfiguration", namespace: str | None
) -> Iterator[Written]:
    said = written(spec)
    preset = configuration.presets.get(spec.preset or "")
    profile_name = said.get("accelerator", {}).get("profile")
    if preset is not None:
        shorthand = written(preset)
        del said["preset"]
        profile_name = profile_name or shorthand.get("accelerator", {}).get("profile")
    engine = spec.engine if preset is None else preset.engine
    for_all, *for_namespace = [written(level).get("modelServer", {}) for level in _levels(configuration, namespace)]
    yield for_all
    if engine is not None and engine in configuration.engines:
        yield written(configuration.engines[engine])
    yield from for_namespace
    if profile_name in configuration.accelerators:
        yield _profile_layer(written(configuration.accelerators[profile_name]))
    if preset is not None:
        yield shorthand
    yield said


def _profile_layer(profile: Written) -> dict[str, Any]:
    """What a profile says of a server; its laid-over pod fields are for whoever makes the pod."""
    named = {field: profile[field] for field in ("resourceName", "deviceClassName", "products") if field in profile}
    rest = {field: profile[field] for field in ("placement", "env") if field in profile}
    return {"accelerator": named, **rest} if named else rest
