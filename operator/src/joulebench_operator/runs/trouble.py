"""What keeps a pod, or a server, from going on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from joulebench_api.conditions import Reason
from joulebench_operator.objects import Object
from joulebench_operator.runs.recorded import objects

_NOT_PULLED: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_NOT_CREATED: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True)
class Trouble:
    """A reason, in the words of whoever has it."""

    reason: Reason
    message: str
    needs_somebody: bool = False
    """Whether it stays until somebody mends something."""


def of_pod(pod: Object) -> Trouble | None:
    """What keeps a pod from starting; None while all goes its way."""
    name = pod["metadata"]["name"]
    for container, waiting in _waiting(pod):
        where = f"pod {name}, container {container}"
        said = waiting.get("message") or waiting.get("reason")
        if waiting.get("reason") in _NOT_PULLED:
            return Trouble(Reason.IMAGE_PULL_FAILED, f"{where}: {said}", needs_somebody=True)
        if waiting.get("reason") in _NOT_CREATED:
            return Trouble(_of_configuration(str(said)), f"{where}: {said}", needs_somebody=True)
    return _unschedulable(pod)


def _of_configuration(said: str) -> Reason:
    return Reason.SECRET_UNAVAILABLE if "secret" in said.lower() else Reason.INVALID_SPEC


def _unschedulable(pod: Object) -> Trouble | None:
    for condition in objects((pod.get("status") or {}).get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return Trouble(Reason.UNSCHEDULABLE, f"pod {pod['metadata']['name']}: {condition.get('message')}")
    return None


def _waiting(pod: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    status = pod.get("status") or {}
    for group in ("initContainerStatuses", "containerStatuses"):
        for container in objects(status.get(group)):
            waiting = (container.get("state") or {}).get("waiting")
            if waiting:
                yield str(container.get("name")), waiting


def reason_of(condition: Mapping[str, Any], *, otherwise: Reason) -> Reason:
    """The reason of a condition; `otherwise` for one that this release does not know."""
    try:
        return Reason(str(condition.get("reason")))
    except ValueError:
        return otherwise
