"""A runner's pod as an operator makes one, and what is left of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from tests.cluster.exporters import AUDIENCE, Exporter
from tests.cluster.models import Model
from tests.cluster.objects import PORT, Object, claim, container
from tests.cluster.session import Namespace

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.ports import EXPORTER_GRPC_PORT
from joulebench_api.contracts.summary import Summary
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_api.contracts.topology import Exporter as ExporterAddress
from joulebench_api.contracts.topology import Server, ServerPod, Topology
from joulebench_runner.config import DriverSettings, EnergySettings, MeterSettings, TaskSettings, Upstream

MODEL_NAME: Final = "simulator"
_SETTINGS: Final = Path("/etc/joulebench")
_SOCKETS: Final = Path("/run/joulebench")
_RESULTS: Final = Path("/results")
_TOKENS: Final = Path("/var/run/secrets/joulebench")
_NOBODY: Final = {"runAsUser": 65532, "runAsNonRoot": True, "fsGroup": 65532}
_LOCKED_DOWN: Final = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Run:
    """A benchmark of one model; its settings and results have its name."""

    namespace: Namespace
    name: str
    model: Model
    exporter: Exporter
    image: str

    def prepare(self, *, questions: int, concurrency: int = 4) -> None:
        """Make everything that its pods need."""
        files = {
            "meter.json": self._meter().model_dump_json(),
            "driver.json": self._driver(questions, concurrency).model_dump_json(),
            "topology.json": self._topology().model_dump_json(),
        }
        self.namespace.apply(_config_map(self.name, files), _headless_service(self.model.name), claim(self.name))

    def start(self, pod: str) -> None:
        """Start a pod of it."""
        self.namespace.apply(runner_pod(pod, image=self.image, run=self.name))

    def end(self, pod: str) -> dict[str, int]:
        """Wait for the end of a pod; the exit code of each container."""
        self.namespace.ended(pod, timeout_seconds=150)
        return {name: state["exitCode"] for name, state in self._terminated(pod).items()}

    def message(self, pod: str) -> TerminationMessage:
        """What Kubernetes was told of the end."""
        return TerminationMessage.model_validate_json(self._terminated(pod)["meter"]["message"])

    def words(self, pod: str) -> str:
        """What a pod has written."""
        return self.namespace.kubectl("logs", pod, "--all-containers", "--prefix")

    @property
    def folder(self) -> Path:
        """Its results, as this process sees them."""
        volume = self.namespace.get("pvc", self.name)["spec"]["volumeName"]
        return self.namespace.cluster.layout.node("node0", 0).volumes / str(volume) / self.name

    @property
    def summary(self) -> Summary:
        """Its summary."""
        return Summary.model_validate_json((self.folder / "summary.json").read_bytes())

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table of its results."""
        found: list[dict[str, Any]] = pq.read_table(self.folder / f"{table}.parquet").to_pylist()
        return found

    def _terminated(self, pod: str) -> dict[str, dict[str, Any]]:
        statuses = self.namespace.get("pod", pod)["status"]["containerStatuses"]
        return {one["name"]: one["state"]["terminated"] for one in statuses}

    def _meter(self) -> MeterSettings:
        return MeterSettings(
            run_id=self.name,
            run_name=self.name,
            run_dir=_RESULTS / self.name,
            control_socket=_SOCKETS / "control.sock",
            ready_file=_SOCKETS / "ready.json",
            outcome_file=_SOCKETS / "meter-outcome.json",
            termination_file=Path("/dev/termination-log"),
            topology_file=_SETTINGS / "topology.json",
            bring_back=True,
            engine="Simulator",
            upstreams=[
                Upstream(alias="model", role="model", model=MODEL_NAME, health_path="/health", metrics_path="/metrics")
            ],
            energy=EnergySettings(policy="Required", domains=[Domain.GPU], token_file=_TOKENS / "exporter"),
        )

    def _driver(self, questions: int, concurrency: int) -> DriverSettings:
        return DriverSettings(
            run_id=self.name,
            run_dir=_RESULTS / self.name,
            control_socket=_SOCKETS / "control.sock",
            ready_file=_SOCKETS / "ready.json",
            meter_outcome_file=_SOCKETS / "meter-outcome.json",
            task=TaskSettings(name="everyday", limit=questions, offline=True),
            concurrency=concurrency,
            warmup_queries=0,
            baseline_seconds=1.0,
        )

    def _topology(self) -> Topology:
        host = f"{self.model.name}.{self.namespace.name}.svc.cluster.local"
        server = Server(
            alias="model",
            url=f"http://{host}:{PORT}/v1",
            model=MODEL_NAME,
            headless_service=host,
            port=PORT,
            namespace=self.namespace.name,
            pods=[ServerPod(name=self.model.name, ip=self.model.address, node="node0")],
        )
        address = f"{self.exporter.pod['status']['podIP']}:{EXPORTER_GRPC_PORT}"
        return Topology(servers=[server], exporters=[ExporterAddress(node="node0", address=address)], audience=AUDIENCE)


def runner_pod(name: str, *, image: str, run: str) -> Object:
    """A pod with a driver and a meter, without rights and without a token for the API."""
    token = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 600, "path": "exporter"}}
    volumes: Mapping[str, Object] = {
        "settings": {"configMap": {"name": run}},
        "results": {"persistentVolumeClaim": {"claimName": run}},
        "token": {"projected": {"sources": [token]}},
        "sockets": {"emptyDir": {}},
        "driver-files": {"emptyDir": {}},
        "meter-files": {"emptyDir": {}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": _NOBODY,
            "containers": [
                _process("driver", image=image),
                _process("meter", image=image, token={"name": "token", "mountPath": str(_TOKENS), "readOnly": True}),
            ],
            "volumes": [{"name": volume, **source} for volume, source in volumes.items()],
        },
    }


def _process(name: str, *, image: str, **more_mounts: Object) -> Object:
    mounts = {"settings": _SETTINGS, "results": _RESULTS, "sockets": _SOCKETS, f"{name}-files": Path("/tmp")}
    return container(
        image=image,
        name=name,
        command=["python", "-m", f"joulebench_runner.{name}", "--settings", str(_SETTINGS / f"{name}.json")],
        securityContext=_LOCKED_DOWN,
        volumeMounts=[
            *({"name": volume, "mountPath": str(path)} for volume, path in mounts.items()),
            *more_mounts.values(),
        ],
    )


def _config_map(name: str, files: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": dict(files)}


def _headless_service(name: str) -> Object:
    spec = {"clusterIP": "None", "selector": {"app": name}, "ports": [{"port": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
