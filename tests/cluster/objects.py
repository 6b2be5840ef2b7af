"""Builders of the objects that the cluster tests use."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.cluster.settings import WORKLOAD_IMAGE

Object = dict[str, Any]
PORT = 8000


def container(*errand: str, image: str = WORKLOAD_IMAGE, **more: Any) -> Object:
    """A container that does an errand of images/workload."""
    return {"name": "main", "image": image, "imagePullPolicy": "Never", "args": list(errand), **more}


def pod_spec(*errand: str, container_more: Mapping[str, Any] | None = None, **more: Any) -> Object:
    """A pod's spec; what it gets to end is short, so that tests do not wait for it."""
    return {
        "terminationGracePeriodSeconds": 1,
        "enableServiceLinks": False,
        "containers": [container(*errand, **(container_more or {}))],
        **more,
    }


def pod(name: str, *errand: str, labels: Mapping[str, str] | None = None, **more: Any) -> Object:
    """A pod that does an errand, once."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or {"app": name})},
        "spec": {**pod_spec(*errand, **more), "restartPolicy": "Never"},
    }


def _template(name: str, spec: Object) -> Object:
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


SERVE = ("serve", str(PORT))
READY_PROBE = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1}


def deployment(name: str, *, replicas: int = 1, spec: Object | None = None) -> Object:
    """A Deployment of HTTP servers."""
    template = pod_spec(*SERVE, container_more={"readinessProbe": READY_PROBE}) if spec is None else spec
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": _template(name, template),
        },
    }


def daemon_set(name: str, spec: Object) -> Object:
    """A DaemonSet on real nodes."""
    elsewhere = {"key": "type", "operator": "NotIn", "values": ["kwok"]}
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [elsewhere]}]}
        }
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": _template(name, {**spec, "affinity": affinity}),
        },
    }


def job(name: str, *errand: str, completions: int = 1, parallelism: int = 1, **more: Any) -> Object:
    """A Job that does an errand."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "completions": completions,
            "parallelism": parallelism,
            "template": _template(name, {**pod_spec(*errand, **more), "restartPolicy": "Never"}),
        },
    }


def service(name: str) -> Object:
    """A Service before the pods of this name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
    }


def network_policy(name: str, spec: Mapping[str, Any]) -> Object:
    """A NetworkPolicy."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, **spec},
    }


def claim(name: str) -> Object:
    """A claim of a volume of the default class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }


def with_volume(spec: Object, volume: Mapping[str, Any], *, path: str) -> Object:
    """The spec with a volume mounted in its container."""
    first: Sequence[Object] = spec["containers"]
    mounted = {**first[0], "volumeMounts": [{"name": "volume", "mountPath": path}]}
    return {**spec, "volumes": [{"name": "volume", **volume}], "containers": [mounted]}
