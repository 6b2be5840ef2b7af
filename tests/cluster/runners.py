"""A run on the cluster: what its Job is told, what becomes of its pods, and what it leaves."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from tests.cluster.exporters import AUDIENCE, Exporter
from tests.cluster.models import Model
from tests.cluster.objects import PORT, Object, claim
from tests.cluster.runner_jobs import (
    DATA,
    JOB_LABEL,
    RESULTS,
    SETTINGS,
    SOCKETS,
    TERMINATION,
    TOKENS,
    Wanted,
    runner_job,
)
from tests.cluster.session import Namespace
from tests.cluster.stores import ClusterStore

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.ports import EXPORTER_GRPC_PORT
from joulebench_api.contracts.summary import Summary
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_api.contracts.topology import Exporter as ExporterAddress
from joulebench_api.contracts.topology import Server, ServerPod, Topology
from joulebench_runner.config import DriverSettings, EnergySettings, MeterSettings, TaskSettings, Upstream
from joulebench_runner.tasks import gsm8k
from joulebench_runner.tasks.manifest import MANIFEST, SCHEMA_VERSION

MODEL_NAME: Final = "simulator"
HUB_TOKEN: Final = "hub-token"
"""Secret of what the init container `fetch` alone may know."""
TOKEN_TEXT: Final = "hf_of_no_use_elsewhere"
_PROBLEMS: Final = "gsm8k"


@dataclass(frozen=True)
class Run:
    """A benchmark of one server; its Job, its settings and its results have its name."""

    namespace: Namespace
    name: str
    models: Sequence[Model]
    """The replicas of its server."""
    exporters: Sequence[Exporter]
    image: str
    store: ClusterStore | None = None
    """None: the results are on a claim."""

    @property
    def model(self) -> Model:
        """Its server's first replica."""
        return self.models[0]

    def prepare(
        self, *, questions: int, concurrency: int = 4, task: str = "everyday", policy: str = "Required"
    ) -> None:
        """Make everything that its pods need. The task `gsm8k` has its problems in a volume, others make their own."""
        files = {
            "meter.json": self._meter(policy).model_dump_json(),
            "driver.json": self._driver(task, questions, concurrency).model_dump_json(),
            "topology.json": self.topology().model_dump_json(),
        }
        self.namespace.apply(_config_map(self.name, files), _headless_service(self.model.server))
        if self.store is None:
            self.namespace.apply(claim(self.name))
        else:
            self.namespace.apply(_secret(self._store_keys, self.store.keys))

    def start(self, *, fetches: bool = False, deadline_seconds: int = 300) -> None:
        """Start its Job."""
        on_claim = {"persistentVolumeClaim": {"claimName": self.name}}
        wanted = Wanted(
            name=self.name,
            image=self.image,
            results=on_claim if self.store is None else {"emptyDir": {}},
            data=_problems_volume() if fetches else None,
            hub_token=HUB_TOKEN if fetches else None,
            store_keys=None if self.store is None else self._store_keys,
            deadline_seconds=deadline_seconds,
            node="node0",
        )
        self.namespace.apply(runner_job(wanted))

    def tell(self, topology: Topology) -> None:
        """Change the topology, and have the kubelet bring it to the newest pod now: by itself it takes a minute."""
        patch = json.dumps({"data": {"topology.json": topology.model_dump_json()}})
        self.namespace.kubectl("patch", "configmap", self.name, "--type=merge", f"--patch={patch}")
        generation = f"topology={topology.generation}"
        self.namespace.kubectl("annotate", "--overwrite", f"pod/{self.pods[-1]['metadata']['name']}", generation)

    @property
    def job(self) -> dict[str, Any]:
        """The status of its Job."""
        return dict(self.namespace.get("job", self.name).get("status", {}))

    @property
    def pods(self) -> list[Object]:
        """Its pods that are there, the oldest first."""
        selector = f"--selector={JOB_LABEL}={self.name}"
        found = json.loads(self.namespace.kubectl("get", "pods", selector, "--output=json"))["items"]
        return sorted(found, key=lambda one: str(one["metadata"]["creationTimestamp"]))

    def next_pod(self, *before: str) -> str:
        """The name of a pod of it that is not among those, once there is one."""

        def others() -> str:
            return next((name for one in self.pods if (name := one["metadata"]["name"]) not in before), "")

        return str(self.namespace.cluster.wait(others, what=f"a pod of {self.name}"))

    def end(self, *, timeout_seconds: int = 150) -> str:
        """How its Job ended: Complete, or the reason of its failure."""

        def ended() -> str:
            for one in self.job.get("conditions", []):
                if one["type"] in {"Complete", "Failed"} and one["status"] == "True":
                    return str(one["type"] if one["type"] == "Complete" else one["reason"])
            return ""

        what = f"the end of {self.name}"
        return str(self.namespace.cluster.wait(ended, what=what, timeout_seconds=timeout_seconds))

    def codes(self, pod: str) -> dict[str, int]:
        """The exit code of each container of a pod that has ended."""
        self.namespace.ended(pod, timeout_seconds=60)
        return {name: state["exitCode"] for name, state in self._terminated(pod).items()}

    def message(self, pod: str, container: str = "meter") -> str:
        """What Kubernetes was told of the end of a container."""
        return str(self._terminated(pod)[container].get("message", ""))

    @property
    def verdict(self) -> TerminationMessage:
        """What the meter of the newest pod has told Kubernetes."""
        return TerminationMessage.model_validate_json(self.message(self.pods[-1]["metadata"]["name"]))

    def words(self) -> str:
        """What its pods have written, and been told."""
        said = self.namespace.kubectl("logs", f"--selector={JOB_LABEL}={self.name}", "--all-containers", "--prefix")
        states = [one["state"] for pod in self.pods for one in pod["status"].get("containerStatuses", [])]
        return "\n".join([said, *map(str, states)])

    def _terminated(self, pod: str) -> dict[str, dict[str, Any]]:
        status = self.namespace.get("pod", pod)["status"]
        statuses = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        return {one["name"]: one["state"]["terminated"] for one in statuses if "terminated" in one["state"]}

    @property
    def folder(self) -> Path:
        """Its results, as this process sees them."""
        if self.store is not None:
            return self.store.folder(self.name)
        return self.namespace.claimed(self.name) / self.name

    @property
    def summary(self) -> Summary:
        """Its summary."""
        return Summary.model_validate_json((self.folder / "summary.json").read_bytes())

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table of its results."""
        found: list[dict[str, Any]] = pq.read_table(self.folder / f"{table}.parquet").to_pylist()
        return found

    @property
    def _store_keys(self) -> str:
        return f"{self.name}-store"

    def _meter(self, policy: str) -> MeterSettings:
        return MeterSettings(
            run_id=self.name,
            run_name=self.name,
            run_dir=RESULTS / self.name,
            control_socket=SOCKETS / "control.sock",
            ready_file=SOCKETS / "ready.json",
            outcome_file=SOCKETS / "meter-outcome.json",
            termination_file=TERMINATION,
            topology_file=SETTINGS / "topology.json",
            bring_back=True,
            driver_gone_seconds=2.0,
            engine="Simulator",
            upstreams=[
                Upstream(alias="model", role="model", model=MODEL_NAME, health_path="/health", metrics_path="/metrics")
            ],
            energy=EnergySettings.model_validate(
                {
                    "policy": policy,
                    "domains": [Domain.GPU],
                    "token_file": TOKENS / "exporter",
                    # An exporter that waits for a processor misses a tick, of which a short run has few.
                    "min_coverage_percent": 90,
                }
            ),
            store=None if self.store is None else self.store.settings(self.name),
        )

    def _driver(self, task: str, questions: int, concurrency: int) -> DriverSettings:
        return DriverSettings(
            run_id=self.name,
            run_dir=RESULTS / self.name,
            control_socket=SOCKETS / "control.sock",
            ready_file=SOCKETS / "ready.json",
            meter_outcome_file=SOCKETS / "meter-outcome.json",
            task=TaskSettings(name=task, limit=questions, offline=True, data_root=DATA),
            concurrency=concurrency,
            warmup_queries=0,
            baseline_seconds=1.0,
        )

    def topology(self, *, generation: int = 0) -> Topology:
        """Where its server and the exporters are now."""
        host = f"{self.model.server}.{self.namespace.name}.svc.cluster.local"
        server = Server(
            alias="model",
            url=f"http://{host}:{PORT}/v1",
            model=MODEL_NAME,
            headless_service=host,
            port=PORT,
            namespace=self.namespace.name,
            deployment=self.model.server,
            pods=[ServerPod(name=model.name, ip=model.address, node=model.node) for model in self.models],
        )
        exporters = [
            ExporterAddress(node=one.node, address=f"{one.pod['status']['podIP']}:{EXPORTER_GRPC_PORT}")
            for one in self.exporters
        ]
        return Topology(generation=generation, servers=[server], exporters=exporters, audience=AUDIENCE)


def problems_and_token() -> list[Object]:
    """What runs need that fetch: some problems as the hub has them, and the token for it."""
    lines = [
        json.dumps(
            {"question": f"Ann has {one} apples and Ben has {one + 3}. How many?", "answer": f"#### {2 * one + 3}"}
        )
        for one in range(200)
    ]
    text = "".join(f"{line}\n" for line in lines)
    hub = gsm8k.HUB
    entry = {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "rows": len(lines),
        "source": {"hub": hub.id, "config": hub.config, "split": hub.split, "revision": hub.revision},
    }
    manifest = {"schema_version": SCHEMA_VERSION, "files": {f"{hub.split}.jsonl": entry}}
    return [
        _config_map(_PROBLEMS, {f"{hub.split}.jsonl": text, MANIFEST: json.dumps(manifest)}),
        _secret(HUB_TOKEN, {"HF_TOKEN": TOKEN_TEXT}),
    ]


def _problems_volume() -> Object:
    items = [{"key": name, "path": f"gsm8k/{name}"} for name in (f"{gsm8k.HUB.split}.jsonl", MANIFEST)]
    return {"configMap": {"name": _PROBLEMS, "items": items}}


def _config_map(name: str, files: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(files)}


def _secret(name: str, texts: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(texts)}


def _headless_service(name: str) -> Object:
    spec = {"clusterIP": "None", "selector": {"app": name}, "ports": [{"port": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
