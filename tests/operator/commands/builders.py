"""Objects as a cluster tells them."""

from typing import Any

Object = dict[str, Any]
URL = "pvc://team/nightly-results/nightly"


def condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    """A condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


def run(**status: Any) -> Object:
    """The run team/nightly; `status` as the API names its fields."""
    return {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": "nightly", "namespace": "team", "uid": "12-34"},
        "spec": {"task": {"name": "everyday"}},
        "status": status,
    }


def pod(name: str, *, part: str = "runner", **states: str) -> Object:
    """A pod of that run; its containers by name, each `running`, `terminated` or `waiting`."""
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": f"2026-01-02T03:04:{len(name):02}Z",
            "labels": {"joulebench.dev/run": "nightly", "app.kubernetes.io/component": part},
        },
        "spec": {"containers": [{"name": container, "image": "runner:1"} for container in states]},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": container, "state": {state: {}}} for container, state in states.items()],
        },
    }
