"""BenchmarkRuns and ModelServers on a cluster, as people apply and read them."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow.parquet as pq
import yaml
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.objects import Object
from tests.cluster.session import Namespace
from tests.cluster.settings import REPOSITORY
from tests.cluster.waiting import until

from joulebench_api.contracts.summary import Summary

API_VERSION: Final = "joulebench.dev/v1alpha1"
SLOW: Final[Mapping[str, Any]] = {"engineArgs": {"resting-watts": 0.01, "words": "150-150"}}
"""A server that takes a while for each answer, so that things can happen meanwhile."""
SLOWER: Final[Mapping[str, Any]] = {"engineArgs": {"resting-watts": 0.01, "words": "900-900"}}
"""One that takes six times as long."""


def simulator(*, gpus: int = 1, **spec: Any) -> Object:
    """The spec of a model server on so many GPUs."""
    return {
        "engine": "Simulator",
        "model": "simulator",
        "parallelism": {"tensor": gpus},
        "accelerator": {},
        "engineArgs": {"resting-watts": 0.01},
        **spec,
    }


def model_server(name: str, **spec: Any) -> Object:
    """A ModelServer."""
    return {"apiVersion": API_VERSION, "kind": "ModelServer", "metadata": {"name": name}, "spec": simulator(**spec)}


def run(name: str, *, server: Mapping[str, Any] | None = None, limit: int = 12, **spec: Any) -> Object:
    """A BenchmarkRun, by default on a server of its own with one GPU."""
    fields = {
        "server": server or {"template": {"spec": simulator()}},
        "task": {"name": "everyday", "limit": limit},
        "concurrency": 4,
        "warmup": {"queries": 0},
        "energy": {"policy": "Required", "idleBaseline": "1s"},
        **spec,
    }
    return {"apiVersion": API_VERSION, "kind": "BenchmarkRun", "metadata": {"name": name}, "spec": fields}


def made(**spec: Any) -> Object:
    """A server of the run's own."""
    return {"template": {"spec": simulator(**spec)}}


def example(name: str | None = None, **changed: Mapping[str, Any]) -> Object:
    """The example benchmarkrun.yaml or benchmarkrun-NAME.yaml, with some fields of some of its objects changed."""
    file = "benchmarkrun.yaml" if name is None else f"benchmarkrun-{name}.yaml"
    text = (REPOSITORY / "examples" / file).read_text()
    found: Object = yaml.safe_load(text)
    for field, values in changed.items():
        found["spec"][field] |= values
    return found


def guide_blocks(page: str, language: str) -> list[str]:
    """The blocks of a language in a page of the guide."""
    text = (REPOSITORY / "docs" / "guide" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@dataclass(frozen=True)
class Told:
    """An object of ours on the cluster, by what its status says."""

    kind: ClassVar[str]
    namespace: Namespace
    name: str

    def wait(self, condition: str, *, seconds: int = 90) -> None:
        """Wait as a script does."""
        self.namespace.kubectl(
            "wait",
            f"{self.kind}/{self.name}",
            f"--for=condition={condition}",
            f"--timeout={seconds}s",
            timeout_seconds=seconds + 5,
        )

    @property
    def status(self) -> dict[str, Any]:
        """Its status."""
        found: dict[str, Any] = self.namespace.get(self.kind, self.name).get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """One of its conditions; empty while it is not there."""
        return next((one for one in self.status.get("conditions", ()) if one["type"] == kind), {})

    def reason(self) -> str:
        """What the column STATUS says."""
        return str(self.condition("Ready").get("reason"))

    @property
    def message(self) -> str:
        """What stands behind that."""
        return str(self.condition("Ready").get("message"))

    def until(self, reason: str, *, seconds: float = 60) -> None:
        """Wait until the column says so."""
        what = f"the reason {reason} of {self.name}"
        self.namespace.cluster.wait(lambda: self.reason() == reason, what=what, timeout_seconds=seconds)


@dataclass(frozen=True)
class Server(Told):
    """A ModelServer on the cluster."""

    kind = "msrv"

    def devices(self) -> list[str]:
        """The devices of its pods; empty while none are known, or it is not there."""
        if not self.namespace.kubectl("get", "msrv", self.name, "--ignore-not-found"):
            return []
        return [uuid for endpoint in self.status.get("endpoints", ()) for uuid in endpoint.get("devices", ())]


@dataclass(frozen=True)
class Benchmark(Told):
    """A BenchmarkRun on the cluster."""

    kind = "brun"

    @property
    def folder(self) -> Path:
        """Its results, as this process sees them."""
        _, _, _, claim, folder = self.status["results"]["url"].split("/")
        volume = self.namespace.get("pvc", claim)["spec"]["volumeName"]
        return self.namespace.cluster.layout.node("node0", 0).volumes / str(volume) / str(folder)

    @property
    def summary(self) -> Summary:
        """Its summary."""
        return Summary.model_validate_json((self.folder / "summary.json").read_bytes())

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table of its results."""
        found: list[dict[str, Any]] = pq.read_table(self.folder / f"{table}.parquet").to_pylist()
        return found

    def pods(self, part: str) -> list[dict[str, Any]]:
        """Its pods of a part, also those of its servers."""
        return pods(self.namespace, f"joulebench.dev/run={self.name},app.kubernetes.io/component={part}")


def started(namespace: Namespace, *objects: Object) -> list[Benchmark]:
    """Apply objects; the runs among them."""
    namespace.apply(*objects)
    return [Benchmark(namespace, one["metadata"]["name"]) for one in objects if one["kind"] == "BenchmarkRun"]


def everything_was_answered_once(benchmark: Benchmark, *, questions: int) -> None:
    """Each question has one row, and all are there."""
    asked = Counter((row["record_id"], row["epoch"]) for row in benchmark.rows("queries"))
    assert (len(asked), set(asked.values())) == (questions, {1})


def answered(benchmark: Benchmark, *, least: int = 1) -> None:
    """Wait until so many questions are answered."""
    until(
        lambda: int(benchmark.status.get("progress", {}).get("completed", 0)) >= least,
        what=f"{least} answers of {benchmark.name}",
        timeout_seconds=60,
    )


def the_operator_looks_at_things(namespace: Namespace) -> None:
    """Wait until it says something new, so that it has also seen what happened before."""
    namespace.apply(model_server("asked", accelerator={"profile": "nobody-has-it"}))
    Server(namespace, "asked").until("UnknownAcceleratorProfile")


def pods(namespace: Namespace, selector: str) -> list[dict[str, Any]]:
    """Pods by labels."""
    words = ("get", "pods", f"--selector={selector}", "--output=json")
    found: list[dict[str, Any]] = json.loads(namespace.kubectl(*words))["items"]
    return found


def gpus_in_use(namespace: Namespace, gpus: list[FakeGpu]) -> int:
    """How many GPUs the pods of a namespace hold that have not ended."""
    found = json.loads(namespace.kubectl("get", "pods", "--output=json"))["items"]
    living = [one for one in found if one["status"].get("phase") in {"Pending", "Running"}]
    containers = [container for one in living for container in one["spec"]["containers"]]
    return sum(int(one.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0)) for one in containers)
