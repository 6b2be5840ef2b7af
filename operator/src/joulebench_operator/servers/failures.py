"""Why a pod does not serve: the cause, in the pod's own words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from joulebench_api.conditions import Reason
from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import LastWords
from joulebench_operator.objects import Object
from joulebench_operator.servers.last_words import cause, is_hopeless
from joulebench_operator.servers.pod_template import CONTAINER
from joulebench_operator.servers.pods_seen import SeenPod, instant

_PULL: Final = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_NOT_STARTED: Final = ("CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError")
_WRONG_CONFIG: Final = "CreateContainerConfigError"
_KILL_SLACK: Final = timedelta(seconds=5)
"""How much earlier than `startupTimeout` the kubelet may stop a container, as its probes are not counted in seconds."""


@dataclass(frozen=True)
class Failure:
    """What keeps a pod from serving."""

    reason: Reason
    message: str
    hopeless: bool = False
    """Whether it stays so until somebody changes something; else Kubernetes tries again by itself."""


def failure(pod: SeenPod, *, startup_timeout_seconds: float, now: datetime, cache: Cache) -> Failure | None:
    """What keeps a pod that is not ready from serving; None if it is on its way."""
    limit = timedelta(seconds=startup_timeout_seconds)
    return _unscheduled(pod) or _not_started(pod) or _too_slow(pod, limit, now) or _ended(pod, limit, cache)


def last_words(pod: SeenPod, namespace: str) -> LastWords | None:
    """What is to be asked about the container's last ending; None if it never ended."""
    if not pod.ended:
        return None
    runs_again = not (pod.container.get("state") or {}).get("terminated") and not pod.waiting
    return LastWords(namespace, pod.name, CONTAINER, restart=max(0, pod.restarts - (1 if runs_again else 0)))


def _unscheduled(pod: SeenPod) -> Failure | None:
    condition = pod.condition("PodScheduled") or {}
    if condition.get("status") != "False" or condition.get("reason") != "Unschedulable":
        return None
    return Failure(Reason.UNSCHEDULABLE, f"pod {pod.name}: {condition.get('message', 'no node has room')}")


def _not_started(pod: SeenPod) -> Failure | None:
    why = str(pod.waiting.get("reason", ""))
    text = f"pod {pod.name}: {pod.waiting.get('message') or why}"
    if why in _PULL:
        return Failure(Reason.IMAGE_PULL_FAILED, text)
    if why == _WRONG_CONFIG:
        return _wrong_config(pod.waiting, text)
    return Failure(cause(text)[0], text) if why in _NOT_STARTED else None


def _wrong_config(waiting: Object, text: str) -> Failure:
    """A Secret that is missing may come; a user that the image does not have does not."""
    message = str(waiting.get("message", "")).lower()
    if "secret" in message:
        return Failure(Reason.SECRET_UNAVAILABLE, text)
    return Failure(Reason.INVALID_SPEC, text)


def _too_slow(pod: SeenPod, limit: timedelta, now: datetime) -> Failure | None:
    since = pod.running_since
    if since is None or pod.container.get("started") or now - since < limit:
        return None
    return _timeout(pod, limit)


def _timeout(pod: SeenPod, limit: timedelta) -> Failure:
    text = f"pod {pod.name}: not ready within the {limit.total_seconds():g} s of startupTimeout"
    return Failure(Reason.STARTUP_TIMEOUT, text, hopeless=True)


def _ended(pod: SeenPod, limit: timedelta, cache: Cache) -> Failure | None:
    if not pod.ended:
        return None
    if pod.ended.get("reason") == "OOMKilled":
        return Failure(Reason.OUT_OF_MEMORY, f"{_how(pod)}: it used more memory than its limit")
    inquiry = last_words(pod, str(pod.item["metadata"]["namespace"]))
    words = None if inquiry is None else cache.answer(inquiry)
    # One that could not even be started has no log, and the node says why.
    reason, line = cause(words or str(pod.ended.get("message") or ""))
    if reason is Reason.SERVER_CRASHED and _ran(pod) >= limit - _KILL_SLACK:
        return _timeout(pod, limit)
    return Failure(reason, f"{_how(pod)}: {line}" if line else _how(pod), hopeless=is_hopeless(reason))


def _ran(pod: SeenPod) -> timedelta:
    """How long the container that ended had run without ever being ready; 0 if it was ready.

    Its exit code tells nothing: engines end as they like when they are told to.
    """
    start, end = instant(pod.ended.get("startedAt")), instant(pod.ended.get("finishedAt"))
    if start is None or end is None:
        return timedelta()
    became_unready = pod.changed("Ready")
    return timedelta() if became_unready is not None and became_unready > start else end - start


def _how(pod: SeenPod) -> str:
    code, again = pod.ended.get("exitCode"), pod.restarts
    times = "" if again == 0 else f", started again {again} time{'' if again == 1 else 's'}"
    return f"pod {pod.name}: the engine ended with exit code {code}{times}"
