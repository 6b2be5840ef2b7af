"""An operator of the naive form: kopf handlers that do things when something is created, with finalizers.

It makes the same children for a run and tells the same end; it repairs nothing, and asks nobody.

    python -m tests.bench.operator.naive
"""

import asyncio
from typing import Any

import kopf
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from joulebench_operator.kinds import CONFIG_MAP, JOB
from joulebench_operator.kube import Kube
from joulebench_operator.names import PART_LABEL, RUN_LABEL, RUNNER_PART
from joulebench_operator.objects import key_of, labels, new

_GROUP, _VERSION, _PLURAL = "joulebench.dev", "v1alpha1", "benchmarkruns"
_OF_RUNS = {PART_LABEL: RUNNER_PART}


@kopf.on.startup()
async def start(memo: kopf.Memo, **_: Any) -> None:
    """A client for all handlers."""
    chosen = Configuration()
    await config.load_kube_config(client_configuration=chosen)  # type: ignore[no-untyped-call]
    memo.client = ApiClient(configuration=chosen)
    memo.kube = Kube(memo.client)


@kopf.on.login()
async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The rights of the kubeconfig."""
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.cleanup()
async def end(memo: kopf.Memo, **_: Any) -> None:
    """Close it."""
    await memo.client.close()


@kopf.on.create(_GROUP, _VERSION, _PLURAL)
async def create(body: Any, name: str, namespace: Any, memo: kopf.Memo, patch: Any, **_: Any) -> None:
    """Make the children, then say so."""
    children = _children(name, namespace)
    kopf.adopt(children, owner=body)
    for child in children:
        await memo.kube.create(child)
    patch.status.update(_status("Starting", finished=False))


@kopf.on.delete(_GROUP, _VERSION, _PLURAL)
async def delete(name: str, namespace: Any, memo: kopf.Memo, **_: Any) -> None:
    """Take the children away; kopf holds the run by a finalizer until it is done."""
    for child in _children(name, namespace):
        found = await memo.kube.get(key_of(child))
        if found is not None:
            await memo.kube.delete(found)


@kopf.on.field("", "v1", "pods", field="status.phase", labels=_OF_RUNS)
async def follow_pod(body: Any, new: Any, namespace: Any, memo: kopf.Memo, **_: Any) -> None:
    """The pod runs: the run asks."""
    if new == "Running":
        await _tell(memo, namespace, body["metadata"]["labels"][RUN_LABEL], _status("Running", finished=False))


@kopf.on.field("batch", "v1", "jobs", field="status.succeeded", labels=_OF_RUNS)
async def follow_job(body: Any, new: Any, namespace: Any, memo: kopf.Memo, **_: Any) -> None:
    """The Job has ended, and with it the run."""
    if new:
        await _tell(memo, namespace, body["metadata"]["labels"][RUN_LABEL], _status("Succeeded", finished=True))


async def _tell(memo: kopf.Memo, namespace: str, run: str, status: Any) -> None:
    path = f"/apis/{_GROUP}/{_VERSION}/namespaces/{namespace}/{_PLURAL}/{run}/status"
    await memo.kube.merge(path, {"status": status})


def _status(reason: str, *, finished: bool) -> Any:
    condition = {
        "type": "Finished", "status": str(finished), "reason": reason, "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }  # fmt: skip
    return {"conditions": [condition]}


def _children(run: str, namespace: str) -> list[Any]:
    own = labels(RUNNER_PART, instance=run, **{RUN_LABEL: run})
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"operator": "Exists"}],
        "initContainers": [{"name": "preflight", "image": "runner"}],
        "containers": [{"name": "driver", "image": "runner"}, {"name": "meter", "image": "runner"}],
    }
    maps = [
        new(CONFIG_MAP, name=f"{run}-{suffix}", namespace=namespace, labels=own, data={"run.json": "x" * 2000})
        for suffix in ("1", "1-topology")
    ]
    template = {"metadata": {"labels": own}, "spec": pod}
    return [*maps, new(JOB, name=f"{run}-1", namespace=namespace, labels=own, spec={"template": template})]


def main() -> None:
    """Run until stopped."""
    # As `kopf run` does; events follow from what is logged.
    kopf.configure(verbose=False)
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    asyncio.run(kopf.operator(standalone=True, clusterwide=True, settings=settings, identity="naive"))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
