"""joulebench as people install it: the chart, with the tests' own images and fake GPUs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.fakegpu import gpus
from tests.cluster.images.products import product
from tests.cluster.settings import REPOSITORY

from joulebench_api.contracts.ports import OPERATOR_METRICS_PORT

NAMESPACE: Final = "joulebench-system"
CHART: Final = REPOSITORY / "charts" / "joulebench"
_RELEASE: Final = "joulebench"
_IMAGES: Final = ("operator", "exporter", "runner", "simulator", "llamacpp")
_SAMPLE: Final = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)


def values() -> Mapping[str, Any]:
    """The chart's values: our images, and the library that shows fake GPUs."""
    folder = str(gpus.FOLDER)
    return {
        "images": {name: product(name).name for name in _IMAGES},
        "operator": {"logFormat": "text"},
        "config": {"policy": {"images": ["localhost/*"]}},
        "exporter": {
            "sensor": "nvml",
            "rapl": False,
            "env": [{"name": name, "value": value} for name, value in gpus.variables().items()],
            "volumes": [{"name": "fake-gpus", "hostPath": {"path": folder, "type": "Directory"}}],
            "volumeMounts": [{"name": "fake-gpus", "mountPath": folder}],
        },
    }


@dataclass(frozen=True)
class Installation:
    """A release of the chart."""

    cluster: Cluster

    @classmethod
    def install(cls, cluster: Cluster, folder: Path) -> "Installation":
        """Install it, and wait until it is ready. `folder`: for a file of values."""
        for name in _IMAGES:
            cluster.load_image(product(name).archive, nodes=["node0"])
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values())))
        where = (f"--namespace={NAMESPACE}", "--create-namespace")
        # Other tests may have made the definitions already.
        options = ("--take-ownership", "--wait", "--timeout=80s", f"--values={file}")
        cluster.helm("install", _RELEASE, CHART, *where, *options, timeout_seconds=90)
        return cls(cluster)

    def remove(self) -> None:
        """Take it away again. Its CRDs stay, as the chart promises."""
        self.cluster.helm("uninstall", _RELEASE, f"--namespace={NAMESPACE}", "--wait", timeout_seconds=60)
        self.cluster.kubectl("delete", "namespace", NAMESPACE)

    def kubectl(self, *words: str) -> str:
        """kubectl in its namespace."""
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *words)

    def operator_pods(self) -> list[dict[str, Any]]:
        """The operator's pods that are not going."""
        words = ("get", "pods", "--selector=app.kubernetes.io/component=operator", "--output=json")
        found = json.loads(self.kubectl(*words))["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def kill_operator(self) -> None:
        """Its pod is gone at once, as with its node; another comes by itself."""
        for pod in self.operator_pods():
            self.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")

    def scale(self, replicas: int) -> None:
        """So many operators."""
        self.kubectl("scale", "deployment/joulebench-operator", f"--replicas={replicas}")
        self.kubectl("rollout", "status", "deployment/joulebench-operator", "--timeout=60s")
        self.cluster.wait(lambda: len(self.operator_pods()) == replicas, what=f"{replicas} operators")

    def move_exporter(self, *, away: bool) -> None:
        """Take the exporter from its nodes, or bring it back; returns once that is so."""
        # What is null is removed.
        patch = {"spec": {"template": {"spec": {"nodeSelector": {"example.org/away": "true" if away else None}}}}}
        self.kubectl("patch", "daemonset/joulebench-exporter", "--type=merge", f"--patch={json.dumps(patch)}")
        if away:
            pods = "--selector=app.kubernetes.io/component=exporter"
            self.cluster.wait(lambda: not self.kubectl("get", "pods", pods), what="the end of the exporter")
        else:
            self.kubectl("rollout", "status", "daemonset/joulebench-exporter", "--timeout=60s")

    def metrics(self, pod: Mapping[str, Any] | None = None) -> dict[tuple[str, str], float]:
        """The samples of an operator by name and labels, each as text."""
        address = (pod or self.operator_pods()[0])["status"]["podIP"]
        url = f"http://{address}:{OPERATOR_METRICS_PORT}/metrics"
        fetch = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=5).read().decode())"
        page = self.cluster.run(["python3", "-c", fetch])
        return {(one["name"], one["labels"] or ""): float(one["value"]) for one in _SAMPLE.finditer(page)}

    def writes(self) -> float:
        """How often the operator that runs now has changed something."""
        return sum(value for (name, _), value in self.metrics().items() if name == "joulebench_operator_writes_total")

    def words(self, *options: str) -> str:
        """What the operator has written."""
        return self.kubectl("logs", "deployment/joulebench-operator", *options)

    def restarts(self) -> int:
        """How often the process of the operator's pod was started anew."""
        statuses = (one["status"].get("containerStatuses", ()) for one in self.operator_pods())
        return sum(int(one["restartCount"]) for found in statuses for one in found)

    def add_arguments(self, *arguments: str) -> None:
        """Give the operator more flags, and wait for one that has them."""
        path = "/spec/template/spec/containers/0/args/-"
        patch = json.dumps([{"op": "add", "path": path, "value": one} for one in arguments])
        self.kubectl("patch", "deployment/joulebench-operator", "--type=json", f"--patch={patch}")
        self.kubectl("rollout", "status", "deployment/joulebench-operator", "--timeout=60s")
        self.cluster.wait(lambda: len(self.operator_pods()) == 1, what="one operator")
