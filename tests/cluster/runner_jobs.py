"""A runner's Job as an operator makes one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.exporters import AUDIENCE
from tests.cluster.objects import Object, container

from joulebench_runner.errors import ExitCode

SETTINGS: Final = Path("/etc/joulebench")
SOCKETS: Final = Path("/run/joulebench")
RESULTS: Final = Path("/results")
DATA: Final = Path("/data")
TOKENS: Final = Path("/var/run/secrets/joulebench")
TERMINATION: Final = Path("/dev/termination-log")
JOB_LABEL: Final = "batch.kubernetes.io/job-name"

_VERDICTS: Final = [ExitCode.FAILED, ExitCode.BAD_INPUT, ExitCode.REQUIREMENT_NOT_MET, ExitCode.INTERRUPTED]
"""Exit codes of the meter with which a run is over: another pod would end in the same way."""
_NOBODY: Final = {"runAsUser": 65532, "runAsNonRoot": True, "fsGroup": 65532}
_LOCKED_DOWN: Final = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What differs between the Jobs of two runs. The settings are in a ConfigMap of the run's name."""

    name: str
    image: str
    results: Object
    """The volume for `run_dir`: a claim, or an emptyDir where there is a store."""
    data: Object | None = None
    """The volume of the task's questions; with it comes the init container `fetch`."""
    hub_token: str | None = None
    """Secret whose keys are `fetch`'s environment."""
    store_keys: str | None = None
    """Secret whose keys are the meter's environment."""
    deadline_seconds: int = 300
    node: str | None = None
    """The node that has the image; None: all have it."""


def runner_job(wanted: Wanted) -> Object:
    """A Job of one pod, which goes on in another one after whatever is no fault of the run."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wanted.name},
        "spec": {
            "backoffLimit": 6,
            "activeDeadlineSeconds": wanted.deadline_seconds,
            # Two pods of a run would write one journal.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules(fetches=wanted.data is not None)},
            "template": {"metadata": {"labels": {"app": wanted.name}}, "spec": _pod(wanted)},
        },
    }


def _failure_rules(*, fetches: bool) -> list[Object]:
    """The first rule that holds counts; a death that none of them names counts towards backoffLimit.

    The meter's verdict comes before 75: a driver whose meter refused its settings ends with 75 too.
    """
    final = {"meter": _VERDICTS} | ({"fetch": [ExitCode.FAILED, ExitCode.BAD_INPUT]} if fetches else {})
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        *(
            {
                "action": "FailJob",
                "onExitCodes": {"containerName": name, "operator": "In", "values": [*map(int, codes)]},
            }
            for name, codes in final.items()
        ),
        {"action": "Count", "onExitCodes": {"operator": "In", "values": [int(ExitCode.INFRASTRUCTURE)]}},
    ]


def _pod(wanted: Wanted) -> Object:
    """Without rights, and without a token for the API."""
    token = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 600, "path": "exporter"}}
    volumes: Mapping[str, Object] = {
        "settings": {"configMap": {"name": wanted.name}},
        "results": wanted.results,
        "token": {"projected": {"sources": [token]}},
        "sockets": {"emptyDir": {}},
        "driver-files": {"emptyDir": {}},
        "meter-files": {"emptyDir": {}},
        **({} if wanted.data is None else {"data": wanted.data, "fetch-files": {"emptyDir": {}}}),
    }
    return {
        "restartPolicy": "Never",
        "nodeSelector": {} if wanted.node is None else {"kubernetes.io/hostname": wanted.node},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": _NOBODY,
        "initContainers": [] if wanted.data is None else [_fetch(wanted)],
        "containers": [_driver(wanted), _meter(wanted)],
        "volumes": [{"name": name, **source} for name, source in volumes.items()],
    }


def _fetch(wanted: Wanted) -> Object:
    flags = (f"--settings={SETTINGS}/driver.json", f"--termination-file={TERMINATION}")
    return _process("fetch", *flags, image=wanted.image, mounts={"data": DATA}, secret=wanted.hub_token)


def _driver(wanted: Wanted) -> Object:
    mounts = {"results": RESULTS, "sockets": SOCKETS}
    data = {} if wanted.data is None else {"data": DATA}
    flag = f"--settings={SETTINGS}/driver.json"
    return _process("driver", flag, image=wanted.image, mounts=mounts, read_only=data)


def _meter(wanted: Wanted) -> Object:
    mounts = {"results": RESULTS, "sockets": SOCKETS}
    flag = f"--settings={SETTINGS}/meter.json"
    return _process(
        "meter", flag, image=wanted.image, mounts=mounts, read_only={"token": TOKENS}, secret=wanted.store_keys
    )


def _process(
    name: str,
    *flags: str,
    image: str,
    mounts: Mapping[str, Path],
    read_only: Mapping[str, Path] | None = None,
    secret: str | None = None,
) -> Object:
    readable = {"settings": SETTINGS, **(read_only or {})}
    return container(
        image=image,
        name=name,
        command=["python", "-m", f"joulebench_runner.{name}", *flags],
        securityContext=_LOCKED_DOWN,
        envFrom=[] if secret is None else [{"secretRef": {"name": secret}}],
        volumeMounts=[
            *(_mount(volume, path) for volume, path in {f"{name}-files": Path("/tmp"), **mounts}.items()),
            *({**_mount(volume, path), "readOnly": True} for volume, path in readable.items()),
        ],
    )


def _mount(volume: str, path: Path) -> Object:
    return {"name": volume, "mountPath": str(path)}
