"""What a run asks for that this release cannot do. Pure."""

from collections.abc import Iterator

from joulebench_api.conditions import Reason
from joulebench_api.contracts.assignment import Assignment
from joulebench_runner.pod.preflight.problems import Problem
from joulebench_runner.translation.availability import unavailable


def check_support(assignment: Assignment) -> Iterator[Problem]:
    """Every field that asks for what is not there, in a pod or anywhere."""
    for found in unavailable(assignment.run.spec):
        yield Problem(
            field=found.field, value=found.value, reason=found.reason, message=found.message, remedy=found.remedy
        )
    yield from _in_a_pod(assignment)


def _in_a_pod(assignment: Assignment) -> Iterator[Problem]:
    spec = assignment.run.spec
    if spec.results.exports:
        names = ", ".join(spec.results.exports)
        yield _problem("spec.results.exports", f"{names} cannot be written yet", "leave exports out", value=names)
    reference = spec.task.record_ids_config_map_ref
    if reference is not None:
        yield _problem(
            "spec.task.recordIdsConfigMapRef", "not available", "list the ids in spec.task.recordIds", reference.name
        )
    if spec.task.source is not None and spec.task.source.object_store is not None and not assignment.data_mounted:
        yield _problem(
            "spec.task.source.objectStore",
            "questions cannot be read from an object store",
            "copy them onto a claim, and name it in task.source.claim; joulebench fetch --to DIR shows their layout",
            value=str(spec.task.source.object_store.url),
        )


def _problem(field: str, message: str, remedy: str, value: str | int) -> Problem:
    return Problem(field=field, value=value, reason=Reason.NOT_SUPPORTED, message=message, remedy=remedy)
