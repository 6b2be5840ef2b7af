"""The Jobs of a run: they retry and end by themselves, also while the operator is away."""

from typing import Final

from pydantic import JsonValue

from joulebench_api.contracts.termination import EXIT_INFRASTRUCTURE
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.kubernetes import Queue
from joulebench_operator import objects
from joulebench_operator.decision import Child
from joulebench_operator.kinds import JOB
from joulebench_operator.names import FINALISE_PART, PREFLIGHT_PART, RUNNER_PART
from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen
from joulebench_operator.runs.pods import PodPlan, finalise_template, labels, preflight_template, runner_template
from joulebench_operator.runs.volumes import FETCH, FINALISE, METER, PREFLIGHT

_QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
_PRIORITY_LABEL: Final = "kueue.x-k8s.io/priority-class"
_PREFLIGHT_RETRIES: Final = 2
_FINALISE_SECONDS: Final = 3600
"""A million questions take a quarter of a minute; the rest is for its pod to come, and for the store. No limit of the
run's counts: what was asked until the run took too long has results as well."""


def preflight(plan: PodPlan, *, namespace: str) -> Child:
    """The Job that looks at everything before a server is made; the time for servers bounds it, too."""
    spec = {
        "backoffLimit": _PREFLIGHT_RETRIES,
        "activeDeadlineSeconds": _whole(plan.run.spec.timeouts.server_ready.seconds),
        "podFailurePolicy": {"rules": [_disruption(), _exits(PREFLIGHT, [jobs_seen.WRONG_INPUT], "FailJob")]},
        "template": preflight_template(plan),
    }
    own = labels(plan.names, PREFLIGHT_PART)
    return Child(objects.new(JOB, name=plan.names.preflight, namespace=namespace, labels=own, spec=spec), once=True)


def runner(plan: PodPlan, *, namespace: str, looks_first: bool) -> Child:
    """The Job that asks and measures. With a queue it begins suspended: Kueue starts it."""
    spec = plan.run.spec
    template = runner_template(plan, looks_first=looks_first)
    begins = {container["name"] for container in template["spec"].get("initContainers", ())}
    body = {
        "backoffLimit": spec.retry_limit,
        "activeDeadlineSeconds": deadline_seconds(spec),
        "podFailurePolicy": {"rules": _rules(begins)},
        "suspend": spec.queue is not None,
        "template": template,
    }
    own = {**labels(plan.names, RUNNER_PART), **queue_labels(spec.queue)}
    body |= _shards(spec.shards)
    return Child(objects.new(JOB, name=plan.names.runner, namespace=namespace, labels=own, spec=body), once=True)


def _shards(count: int) -> Object:
    """Of several pods that share the questions, each knows its own by its index, as do those that follow it."""
    return {} if count == 1 else {"completionMode": "Indexed", "completions": count, "parallelism": count}


def finalise(plan: PodPlan, *, namespace: str) -> Child:
    """The Job that makes the results of all shards, after them. It takes no accelerator, and so waits for no quota."""
    rules = [
        _disruption(),
        _exits(FINALISE, [*jobs_seen.FINAL_CODES], "FailJob"),
        _exits(FINALISE, [jobs_seen.INTERRUPTED], "Ignore"),
        _exits(FINALISE, [EXIT_INFRASTRUCTURE], "Count"),
    ]
    spec = {
        "backoffLimit": plan.run.spec.retry_limit,
        "activeDeadlineSeconds": _FINALISE_SECONDS,
        "podFailurePolicy": {"rules": rules},
        "template": finalise_template(plan),
    }
    own = labels(plan.names, FINALISE_PART)
    return Child(objects.new(JOB, name=plan.names.finalise, namespace=namespace, labels=own, spec=spec), once=True)


def deadline_seconds(spec: BenchmarkRunSpec) -> int:
    """How long the runner's Job may be active: for the queue, the servers and the run together."""
    limits = spec.timeouts
    queue = 0.0 if limits.queue is None else limits.queue.seconds
    return _whole(queue + limits.server_ready.seconds + limits.run.seconds)


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def queue_labels(queue: Queue | None) -> dict[str, str]:
    """Labels by which Kueue knows a Job's queue.

    Source: https://kueue.sigs.k8s.io/docs/tasks/run/jobs/
    """
    if queue is None:
        return {}
    priority = {} if queue.priority_class_name is None else {_PRIORITY_LABEL: queue.priority_class_name}
    return {_QUEUE_LABEL: queue.name, **priority}


def _rules(begins: set[str]) -> list[Object]:
    """What each end of a pod means. The first rule that fits counts; what none names is counted as a retry."""
    return [
        _disruption(),
        _exits(METER, [*jobs_seen.FINAL_CODES], "FailJob"),
        *(_exits(name, [jobs_seen.WRONG_INPUT], "FailJob") for name in (PREFLIGHT, FETCH) if name in begins),
        _exits(METER, [jobs_seen.INTERRUPTED], "Ignore"),
        _exits(METER, [EXIT_INFRASTRUCTURE], "Count"),
    ]


def _disruption() -> Object:
    """A pod that was evicted, preempted or lost with its node does not count as a retry."""
    return {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def _exits(container: str, codes: list[int], action: str) -> Object:
    return {"action": action, "onExitCodes": {"containerName": container, "operator": "In", "values": codes}}


def held(job: Object, *, suspend: bool) -> Child:
    """A Job that is there, held back or let go; one that is over or is Kueue's to hold stays as it is."""
    is_kueue_s = _QUEUE_LABEL in (job["metadata"].get("labels") or {})
    if is_kueue_s or jobs_seen.is_over(job) or jobs_seen.is_suspended(job) == suspend:
        return kept(job)
    return _changed(job, suspend=suspend)


def overdue(job: Object) -> Child:
    """A Job whose time is up: its own deadline covers queue and servers as well, and is now made to be over."""
    return kept(job) if jobs_seen.is_over(job) else _changed(job, activeDeadlineSeconds=1)


def _changed(job: Object, **fields: JsonValue) -> Child:
    """All else is as it is there: most of a Job cannot be changed."""
    body = objects.new(
        JOB,
        name=job["metadata"]["name"],
        namespace=job["metadata"]["namespace"],
        labels=job["metadata"].get("labels") or {},
        spec={**job["spec"], **fields},
    )
    return Child(body)


def kept(item: Object) -> Child:
    """An object that is there, and is to stay as it is."""
    return Child(item, once=True)
