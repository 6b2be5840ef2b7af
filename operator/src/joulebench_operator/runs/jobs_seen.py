"""What the API server says about a Job of ours and its pods."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from joulebench_operator.inquiry import LastWords
from joulebench_operator.objects import Object
from joulebench_operator.runs.recorded import objects, text, time_of

FINAL_CODES: Final = (1, 2, 3)
"""Exit codes of the meter that trying again would not change: failed, wrong input, a requirement not met."""
WRONG_INPUT: Final = 2
"""Exit code of a first step that trying again would not change."""
INTERRUPTED: Final = 130
"""Of a meter that was asked to end, by `suspend` or by Kueue that takes the quota back: no failure, so no retry."""
_INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Annotation of the pods of an Indexed Job."""
PODS_LAG: Final = timedelta(seconds=15)
"""How much later than its Job's end the end of a pod may be heard of: the two are watched apart."""


def is_over(job: Object) -> bool:
    """Whether it is complete or has failed."""
    return completed(job) or failure(job) is not None


def completed(job: Object) -> bool:
    """Whether it has ended well."""
    return _condition(job, "Complete") is not None


def failure(job: Object) -> Mapping[str, Any] | None:
    """The condition that says why it has failed; None if it has not."""
    return _condition(job, "Failed")


def is_given_up(job: Object) -> bool:
    """Whether no further pod will follow: it is over, or will have failed once its last pods have ended."""
    return is_over(job) or _condition(job, "FailureTarget") is not None


def _condition(job: Object, kind: str) -> Mapping[str, Any] | None:
    found = objects((job.get("status") or {}).get("conditions"))
    return next((one for one in found if one.get("type") == kind and one.get("status") == "True"), None)


def is_suspended(job: Object) -> bool:
    """Whether it is held back, by us or by Kueue."""
    return bool((job.get("spec") or {}).get("suspend"))


def pods_wanted(job: Object) -> int:
    """How many of its pods are to end well: one, or one for each index."""
    found = (job.get("spec") or {}).get("completions")
    return found if isinstance(found, int) else 1


def newest_of_each(pods: list[Object]) -> list[Object]:
    """The newest pod of each index, of pods with the newest first; of a Job without indexes its newest."""
    found: dict[str | None, Object] = {}
    for pod in pods:
        found.setdefault((pod["metadata"].get("annotations") or {}).get(_INDEX), pod)
    return list(found.values())


def decisive_first(pods: list[Object]) -> list[Object]:
    """Pods that ended in a way that ends their Job, then the others: the Job's end ends these, which says nothing."""
    return sorted(pods, key=lambda pod: not any(code in FINAL_CODES for code in exit_codes(pod).values()))


def failures(job: Object) -> int:
    """How many of its pods have failed."""
    found = (job.get("status") or {}).get("failed")
    return found if isinstance(found, int) else 0


def container(pod: Object, name: str) -> Mapping[str, Any]:
    """The state of a container, an init container included: `waiting`, `running` or `terminated`; else empty."""
    status = pod.get("status") or {}
    found = [*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))]
    state = next((one.get("state") for one in found if one.get("name") == name), None)
    return state if isinstance(state, Mapping) else {}


def ended(pod: Object, name: str) -> Mapping[str, Any] | None:
    """How a container has ended; None while it has not."""
    found = container(pod, name).get("terminated")
    return found if isinstance(found, Mapping) else None


def message(pod: Object, name: str) -> str | None:
    """The termination message of a container."""
    return text((ended(pod, name) or {}).get("message"))


def log_of(pods: list[Object], name: str) -> LastWords | None:
    """The log to read about a container of the newest pod that ended badly without a message."""
    end = ended(pods[0], name) if pods else None
    if end is None or end.get("exitCode") == 0 or end.get("message"):
        return None
    metadata = pods[0]["metadata"]
    return LastWords(metadata["namespace"], metadata["name"], name, restart=0)


def is_fresh(job: Object, *, now: datetime) -> bool:
    """Whether a Job that is over has ended so lately that more may be heard of it."""
    over = failure(job) or _condition(job, "Complete") or {}
    since = time_of(over.get("lastTransitionTime"))
    return since is not None and now - since < PODS_LAG


def may_tell_more(job: Object, pods: list[Object], name: str, *, now: datetime) -> bool:
    """Whether a pod of a Job that is over has an end that we have not heard of yet."""
    return is_fresh(job, now=now) and any(ended(pod, name) is None for pod in pods)


def is_disrupted(pod: Object) -> bool:
    """Whether it was evicted, preempted or lost with its node."""
    found = objects((pod.get("status") or {}).get("conditions"))
    return any(one.get("type") == "DisruptionTarget" and one.get("status") == "True" for one in found)


def exit_codes(pod: Object) -> dict[str, int]:
    """The exit code of each container that has ended, init containers first."""
    status = pod.get("status") or {}
    found = [*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))]
    names = [str(one.get("name")) for one in found]
    ends = ((name, ended(pod, name)) for name in names)
    return {name: end["exitCode"] for name, end in ends if end is not None and isinstance(end.get("exitCode"), int)}
