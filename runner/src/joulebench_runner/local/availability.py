"""What of a file a local run cannot do (refused), and what it has no use for (said once)."""

from collections.abc import Iterator

from joulebench_api.contracts.energy import Method
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_runner.errors import BadInputError

METHODS = (Method.PHASE, Method.EQUAL)

_NOT_BUILT = {
    "agent": "agents are not available yet; leave agent out to ask in a single turn",
    "load": "load runs are not available yet; leave load out to ask scored questions",
    "submodels": "submodels are not available yet; leave them out",
}
_CLUSTER_ONLY = ("runner", "queue", "shards", "retry_limit", "suspend", "ttl_after_finished")


def refuse_unavailable(spec: BenchmarkRunSpec) -> None:
    """Raise BadInputError for the first field that asks for something this release cannot do."""
    for field, remedy in _NOT_BUILT.items():
        if getattr(spec, field):
            raise BadInputError(f"spec.{field}: not available", remedy=remedy)
    if spec.sandbox is not None and spec.sandbox.mode not in {None, "None"}:
        raise BadInputError(
            f"spec.sandbox.mode: {spec.sandbox.mode.value!r} is not available",
            remedy="use mode: None, or leave sandbox out",
        )
    if spec.energy.attribution not in METHODS:
        raise BadInputError(
            f"spec.energy.attribution: {spec.energy.attribution!s} is not available",
            remedy=f"use one of {', '.join(METHODS)}",
        )
    if spec.task.record_ids_config_map_ref is not None:
        raise BadInputError(
            "spec.task.recordIdsConfigMapRef: there are no ConfigMaps on a local run",
            remedy="list the ids in spec.task.recordIds",
        )


def notes(spec: BenchmarkRunSpec) -> Iterator[str]:
    """Fields that are given and have no effect here."""
    unused = [field for field in _CLUSTER_ONLY if field in spec.model_fields_set]
    store = spec.results.store
    unused += [f"results.store.{field}" for field in sorted(store.model_fields_set - {"object_store"})] if store else []
    if unused:
        yield f"used only on a cluster: {', '.join(f'spec.{field}' for field in unused)}"
    if spec.results.exports:
        yield f"spec.results.exports: {', '.join(spec.results.exports)} cannot be written yet"
