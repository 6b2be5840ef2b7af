"""How a ModelServer stands: its conditions and its status, from its pods and what they answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.status import MAX_ENDPOINTS, MESSAGE_LENGTH, ConditionStatus
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Wanted
from joulebench_operator.kinds import DEPLOYMENT, Key
from joulebench_operator.objects import Object
from joulebench_operator.servers.failures import Failure, failure
from joulebench_operator.servers.plan import ServerPlan
from joulebench_operator.servers.pods_seen import SeenPod, instant
from joulebench_operator.servers.readiness import complaint, serves
from joulebench_operator.servers.sleeping import stamp

_READY, _RECONCILING, _STALLED = ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED
_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


@dataclass(frozen=True)
class Observed:
    """A server's pods, sorted by what they are to it now."""

    plan: ServerPlan
    wanted: int
    """Replicas that should serve; 0 while it sleeps."""
    current: Sequence[SeenPod] = ()
    """Made from today's template."""
    leaving: Sequence[SeenPod] = ()
    """Older ones, and those that end."""
    served: Sequence[SeenPod] = ()
    """The current ones that were found to answer."""
    refused: str | None = None
    """Why the API server does not take the Deployment's pods."""
    cache: Cache = field(default_factory=Cache)

    @property
    def is_ready(self) -> bool:
        """Whether all that should serve do."""
        return self.wanted > 0 and len(self.served) >= self.wanted


def observed(
    item: Object, plan: ServerPlan, pods: Sequence[SeenPod], *, template: str, wanted: int, cache: Cache
) -> Observed:
    """Sort the pods; `template` is the hash of today's template, `wanted` the replicas that should serve now."""
    # A server that was deleted and made again may still have pods of its former life.
    birth = instant(item["metadata"].get("creationTimestamp"))
    alive = [pod for pod in pods if not pod.is_over]
    current = [pod for pod in alive if pod.template == template and not pod.is_going and pod.is_since(birth)]
    endpoints = (item.get("status") or {}).get("endpoints") or ()
    known = {entry.get("pod") for entry in endpoints}
    return Observed(
        plan=plan,
        wanted=wanted,
        current=current,
        leaving=[pod for pod in alive if pod not in current],
        served=[pod for pod in current if serves(plan, pod, cache, recorded=pod.name in known)],
        refused=_replica_failure(plan, cache),
        cache=cache,
    )


def conditions(seen: Observed, *, asleep: bool, now: datetime) -> tuple[Wanted, ...]:
    """All conditions of a server whose spec is good."""
    return (*_standing(seen, asleep=asleep, now=now), *_quota(seen), *_progressing(seen))


def stalled(reason: Reason, message: str) -> tuple[Wanted, ...]:
    """The conditions of a server that cannot go on without a change by somebody."""
    return _wanted(_READY, _FALSE, reason, message), _wanted(_STALLED, _TRUE, reason, message)


def _wanted(kind: ConditionType, status: ConditionStatus, reason: Reason, message: str) -> Wanted:
    """A condition; what a scheduler or a log says may be longer than a condition can hold."""
    short = message if len(message) <= MESSAGE_LENGTH else f"{message[: MESSAGE_LENGTH - 3]}..."
    return Wanted(kind, status, reason, short)


def endpoints(seen: Observed, devices: Mapping[str, Sequence[str]]) -> list[Object]:
    """The pods that serve, by name, with what is known of their devices."""
    found = [
        {"pod": pod.name, "node": pod.node, "ip": pod.ip, "devices": devices.get(pod.name)}
        for pod in seen.served[:MAX_ENDPOINTS]
    ]
    return [{name: value for name, value in entry.items() if value is not None} for entry in found]


def _standing(seen: Observed, *, asleep: bool, now: datetime) -> tuple[Wanted, ...]:
    if seen.wanted == 0:
        return _resting(seen, asleep=asleep)
    if seen.is_ready:
        message = _with_doubts(f"{_replicas(seen)} at {seen.plan.url}", seen)
        return (_wanted(_READY, _TRUE, Reason.SERVING, message),)
    failed = _failure(seen, now)
    if failed is not None and failed.hopeless:
        return stalled(failed.reason, _with_doubts(failed.message, seen))
    reason, message = _on_the_way(seen) if failed is None else (failed.reason, failed.message)
    return _reconciling(reason, _with_doubts(message, seen))


def _resting(seen: Observed, *, asleep: bool) -> tuple[Wanted, ...]:
    reason = Reason.ASLEEP if asleep else Reason.SCALED_TO_ZERO
    message = "off until a run needs it" if asleep else "replicas is 0"
    ready = _wanted(_READY, _FALSE, reason, message)
    if not seen.current and not seen.leaving:
        return (ready,)
    return ready, _wanted(_RECONCILING, _TRUE, reason, "its pods end")


def _reconciling(reason: Reason, message: str) -> tuple[Wanted, ...]:
    return _wanted(_READY, _FALSE, reason, message), _wanted(_RECONCILING, _TRUE, reason, message)


def _failure(seen: Observed, now: datetime) -> Failure | None:
    """The gravest one of the pods that do not serve."""
    seconds = seen.plan.spec.startup_timeout.seconds
    waiting = [pod for pod in seen.current if not pod.is_ready]
    found = [failure(pod, startup_timeout_seconds=seconds, now=now, cache=seen.cache) for pod in waiting]
    failures = sorted((entry for entry in found if entry is not None), key=lambda entry: not entry.hopeless)
    if failures:
        return failures[0]
    # Pods that there are may be all that is allowed, so this is told only if none of them says more.
    return None if seen.refused is None or len(seen.current) >= seen.wanted else _refused(seen.refused)


def _refused(message: str) -> Failure:
    return Failure(Reason.UNSCHEDULABLE if "exceeded quota" in message else Reason.NOT_ALLOWED, message)


def _on_the_way(seen: Observed) -> tuple[Reason, str]:
    if any(pod.waits_for_quota for pod in seen.current):
        return Reason.WAITING_FOR_QUOTA, "Kueue has not given the quota yet"
    if seen.leaving:
        return Reason.ROLLING_OUT, f"{_replicas(seen)}; {len(seen.leaving)} older to go first"
    stages = [_stage(seen, pod) for pod in seen.current if pod not in seen.served]
    return Reason.STARTING, "; ".join([_replicas(seen), *stages[:3]])


def _stage(seen: Observed, pod: SeenPod) -> str:
    """How far a pod is, and since when."""
    if pod.is_ready:
        trouble = complaint(seen.plan, pod, seen.cache)
        return f"{pod.name} warms up{_since(pod.since('Ready'))}" + ("" if trouble is None else f": {trouble}")
    if pod.container.get("started"):
        return f"{pod.name} does not answer {seen.plan.command.health_path}{_since(pod.changed('Ready'))}"
    if pod.running_since is not None:
        return f"{pod.name} loads the model{_since(pod.running_since)}"
    scheduled = pod.since("PodScheduled")
    if scheduled is not None:
        return f"{pod.name} pulls its image and mounts its volumes{_since(scheduled)}"
    return f"{pod.name} looks for a node"


def _since(time: datetime | None) -> str:
    return "" if time is None else f" since {stamp(time)}"


def _replicas(seen: Observed) -> str:
    return f"{len(seen.served)} of {seen.wanted} serve" if seen.wanted > 1 or not seen.is_ready else "serves"


def _with_doubts(message: str, seen: Observed) -> str:
    return "; ".join([message, *seen.plan.doubts])


def _quota(seen: Observed) -> tuple[Wanted, ...]:
    if seen.plan.spec.queue is None or not seen.current:
        return ()
    if any(pod.waits_for_quota for pod in seen.current):
        return (Wanted(ConditionType.QUOTA_RESERVED, _FALSE, Reason.WAITING_FOR_QUOTA),)
    return (Wanted(ConditionType.QUOTA_RESERVED, _TRUE, Reason.QUOTA_RESERVED),)


def _progressing(seen: Observed) -> tuple[Wanted, ...]:
    if seen.wanted == 0 or not seen.leaving:
        return ()
    return (Wanted(ConditionType.PROGRESSING, _TRUE, Reason.ROLLING_OUT, f"{len(seen.leaving)} older to go"),)


def _replica_failure(plan: ServerPlan, cache: Cache) -> str | None:
    found = cache.get(Key(DEPLOYMENT.name, plan.namespace, plan.deployment)) or {}
    status: Mapping[str, Any] = found.get("status") or {}
    for entry in status.get("conditions") or ():
        if entry.get("type") == "ReplicaFailure" and entry.get("status") == "True":
            return str(entry.get("message", ""))
    return None
