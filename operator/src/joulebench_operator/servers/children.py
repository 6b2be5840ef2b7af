"""The objects that a ModelServer is made of: a Deployment, two Services, and perhaps a claim for its cache."""

import math
from collections.abc import Iterator
from typing import Final

from joulebench_operator.decision import Child
from joulebench_operator.kinds import CLAIM, DEPLOYMENT, SERVICE, Kind
from joulebench_operator.names import PART_LABEL, SERVER_LABEL, SERVER_PART
from joulebench_operator.objects import Object, new
from joulebench_operator.pods.overlay import plain
from joulebench_operator.servers.plan import ServerPlan
from joulebench_operator.servers.pod_template import pod_labels, pod_template

PULL_SECONDS: Final = 1800
"""What the Deployment's deadline allows beside `startupTimeout`: for scheduling and images."""

_QUEUE: Final = "kueue.x-k8s.io/queue-name"
_QUEUE_PRIORITY: Final = "kueue.x-k8s.io/priority-class"


def children(plan: ServerPlan, *, replicas: int) -> tuple[Child, ...]:
    """All of them; `replicas` is 0 while the server sleeps. Raises RefusedSpecError as `server_plan` does."""
    services = (service(plan), headless_service(plan))
    claims = (Child(body, once=True) for body in _cache_claims(plan))
    return (Child(deployment(plan, replicas=replicas)), *map(Child, services), *claims)


def selector(plan: ServerPlan) -> dict[str, str]:
    """The labels by which its pods are selected; they can never change."""
    return {SERVER_LABEL: plan.name, PART_LABEL: SERVER_PART}


def deployment(plan: ServerPlan, *, replicas: int) -> Object:
    """The Deployment. It replaces pods only once the old ones are gone, since two servers rarely find room."""
    spec = {
        "replicas": replicas,
        "revisionHistoryLimit": 2,
        "strategy": {"type": "Recreate"},
        "progressDeadlineSeconds": math.ceil(plan.spec.startup_timeout.seconds) + PULL_SECONDS,
        "selector": {"matchLabels": selector(plan)},
        "template": pod_template(plan),
    }
    body = _object(plan, DEPLOYMENT, plan.deployment, spec)
    return {**body, "metadata": {**body["metadata"], "labels": {**body["metadata"]["labels"], **_queue(plan)}}}


def service(plan: ServerPlan) -> Object:
    """The one address in front of all pods."""
    return _object(plan, SERVICE, plan.service, {"type": "ClusterIP", **_ports(plan)})


def headless_service(plan: ServerPlan) -> Object:
    """The name whose addresses are the ready pods: calls that are billed to a pod have to choose it."""
    spec = {"type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": False, **_ports(plan)}
    return _object(plan, SERVICE, plan.headless, spec)


def _cache_claims(plan: ServerPlan) -> Iterator[Object]:
    template = None if plan.spec.cache is None else plan.spec.cache.claim_template
    if template is not None:
        written = plain(template)
        size = written.pop("size")
        spec = {**written, "resources": {"requests": {"storage": size}}}
        yield _object(plan, CLAIM, plan.cache_claim, spec)


def _ports(plan: ServerPlan) -> Object:
    port = {"name": "http", "port": plan.command.port, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
    return {"selector": selector(plan), "ports": [port]}


def _queue(plan: ServerPlan) -> dict[str, str]:
    queue = plan.spec.queue
    if queue is None:
        return {}
    priority = {} if queue.priority_class_name is None else {_QUEUE_PRIORITY: queue.priority_class_name}
    return {_QUEUE: queue.name, **priority}


def _object(plan: ServerPlan, kind: Kind, name: str, spec: Object) -> Object:
    return new(kind, name=name, namespace=plan.namespace, labels=pod_labels(plan), spec=spec)
