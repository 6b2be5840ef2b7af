"""A short-lived pod that reads a claim, made with the rights of whoever asks. What it is, is pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from joulebench_operator.commands.errors import CommandError
from joulebench_operator.commands.location import ClaimFolder
from joulebench_operator.names import PART_LABEL, RUN_LABEL
from joulebench_operator.objects import Object, labels

FOLDER: Final = "/results"
CONTAINER: Final = "reader"
PART: Final = "reader"
_NOBODY: Final = 65532


@dataclass(frozen=True)
class ReaderImage:
    """What the pod runs: the runner's own image, which is on the cluster already."""

    image: str
    pull_secrets: Sequence[Mapping[str, str]] = ()


def reader_image(run: Object, pods: Sequence[Object], *, asked: str | None) -> ReaderImage:
    """`asked`, else the image of the run's own pods, else the one that the status tells.

    Raises CommandError where nobody tells one.
    """
    own = [pod["spec"] for pod in pods if pod["metadata"]["labels"].get(PART_LABEL) in {"runner", "preflight"}]
    runner = run["spec"].get("runner") or {}
    secrets = own[-1].get("imagePullSecrets") if own else runner.get("imagePullSecrets")
    resolved = ((run.get("status") or {}).get("resolved") or {}).get("runner") or {}
    image = asked or (own[-1]["containers"][0]["image"] if own else resolved.get("image") or runner.get("image"))
    if not image:
        raise CommandError(
            f"{run['metadata']['name']} does not tell its runner's image, which would read the claim",
            remedy="name an image that has `tar` with --image",
        )
    return ReaderImage(image, tuple(secrets or ()))


def reader_pod(name: str, run: Object, found: ClaimFolder, *, image: ReaderImage, seconds: int) -> Object:
    """The pod: it can read the claim and nothing else, ends by itself after `seconds`, and goes with the run."""
    owner = {key: run["metadata"][key] for key in ("name", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": found.namespace,
            "labels": {**labels(PART, instance=owner["name"]), RUN_LABEL: owner["name"]},
            "ownerReferences": [{"apiVersion": run["apiVersion"], "kind": run["kind"], **owner}],
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": list(image.pull_secrets),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _NOBODY,
                "runAsGroup": _NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(image.image, seconds)],
            "volumes": [
                {"name": "results", "persistentVolumeClaim": {"claimName": found.claim, "readOnly": True}},
            ],
        },
    }


def _container(image: str, seconds: int) -> Object:
    return {
        "name": CONTAINER,
        "image": image,
        "command": ["sleep", str(seconds)],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "results", "mountPath": FOLDER, "readOnly": True}],
    }


def trouble(pod: Object) -> str | None:
    """Why the pod does not run yet, in the cluster's words; None: it does, or nothing is wrong so far."""
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or ():
        waiting = one.get("state", {}).get("waiting") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}"
    return None


def phase(pod: Object) -> str:
    """`Pending`, `Running`, `Succeeded` or `Failed`."""
    return str((pod.get("status") or {}).get("phase", "Pending"))
