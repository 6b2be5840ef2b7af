"""Whether a run can be shared by as many pods as it wants. Pure."""

from collections.abc import Iterator

from joulebench_api.conditions import Reason
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_api.v1alpha1.storage import AccessMode
from joulebench_runner.pod.preflight.problems import Problem


def check_shards(spec: BenchmarkRunSpec, task: ResolvedTask | None) -> Iterator[Problem]:
    """Each shard needs a question, a place in `concurrency`, and a store that all of them reach.

    `task`: None where it is not known yet. Of a claim that is there already it is not known how it can be mounted.
    """
    if spec.shards == 1:
        return
    if spec.concurrency is not None and spec.shards > spec.concurrency:
        message = f"more than spec.concurrency ({spec.concurrency}), which is for all shards together"
        yield _problem(spec, message, f"set concurrency to {spec.shards} or more, or use fewer shards")
    if task is not None and spec.shards > task.records:
        message = f"more than the {task.records} records that are asked"
        yield _problem(spec, message, f"use {max(task.records, 1)} shards at most, or ask more")
    store = spec.results.store
    template = None if store is None else store.claim_template
    if template is not None and AccessMode.READ_WRITE_MANY not in template.access_modes:
        modes = ", ".join(template.access_modes)
        yield Problem(
            field="spec.results.store.claimTemplate.accessModes",
            value=modes,
            reason=Reason.INVALID_PARAMETERS,
            message=f"{modes} is for the pods of one node, and {spec.shards} shards write to the claim",
            remedy="use accessModes: [ReadWriteMany], with a storage class that has it, or an objectStore",
        )


def _problem(spec: BenchmarkRunSpec, message: str, remedy: str) -> Problem:
    return Problem(
        field="spec.shards", value=spec.shards, reason=Reason.INVALID_PARAMETERS, message=message, remedy=remedy
    )
