"""What of a file a local run cannot do (refused), and what it has no use for (said once)."""

from collections.abc import Iterator

from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_runner.errors import BadInputError
from joulebench_runner.translation.availability import unavailable

_CLUSTER_ONLY = ("runner", "queue", "shards", "retry_limit", "suspend", "ttl_after_finished")


def refuse_unavailable(spec: BenchmarkRunSpec) -> None:
    """Raise BadInputError for the first field that asks for something this release cannot do."""
    for found in unavailable(spec):
        raise BadInputError(f"{found.field}: {found.message}", remedy=found.remedy)
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
