"""`status.startup`: how long the last start took, as far as the pod's own times tell."""

from collections.abc import Sequence
from datetime import datetime

from joulebench_operator.objects import Object
from joulebench_operator.servers.pods_seen import SeenPod


def startup(server: Object, pods: Sequence[SeenPod], *, served: Sequence[SeenPod], now: datetime) -> Object:
    """Of the pod that was made last: image, model, and until it answered. What is known is kept for the same pod."""
    newest = max(pods, key=lambda pod: (str(pod.created), pod.name), default=None)
    if newest is None:
        return {}
    before = server.get("status") or {}
    known = {entry.get("pod") for entry in before.get("endpoints") or ()}
    if newest.name in known and (before.get("startup") or {}).get("totalSeconds") is not None:
        return dict(before["startup"])
    answered = now if newest.name in {pod.name for pod in served} else None
    return _times(newest, answered)


def _times(pod: SeenPod, answered: datetime | None) -> Object:
    # A container that was started again has not pulled anything since its pod found a node.
    started = pod.running_since if pod.restarts == 0 else None
    ready = pod.since("Ready")
    times = {
        "pullSeconds": _between(pod.since("PodScheduled"), started),
        "loadSeconds": _between(pod.running_since, ready),
        "warmSeconds": _between(ready, answered),
        "totalSeconds": _between(pod.created, answered),
    }
    return {name: value for name, value in times.items() if value is not None}


def _between(start: datetime | None, end: datetime | None) -> str | None:
    """Decimal seconds; clocks of nodes may differ, but nothing takes less than no time."""
    if start is None or end is None:
        return None
    return f"{max(0.0, (end - start).total_seconds()):.0f}"
