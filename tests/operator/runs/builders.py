"""A cluster in memory: a run, what was made for it, and everybody else's part in it (kubelet, Job controller, ...)."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.contracts.meter import EnergyState as MeterEnergy
from joulebench_api.contracts.meter import MeterStatus as MeterAnswer
from joulebench_api.contracts.meter import Progress, ResolvedTask, Stage
from joulebench_api.contracts.preflight import Finding, PreflightReport
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Context, Decision, Settings, Wanted
from joulebench_operator.kinds import BY_NAME, MODEL_SERVER, POD, Key
from joulebench_operator.objects import Object, key_of, owned
from joulebench_operator.runs.controller import RunController

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SETTINGS = Settings(
    images={"runner": "ours/runner:1", "Simulator": "ours/simulator:1"}, exporter_namespace="joulebench-system"
)
TASK = ResolvedTask(name="everyday", revision="abc", records=20, sha256="0" * 64)
TEMPLATE: Object = {"template": {"spec": {"engine": "Simulator", "model": "sim"}}}
REF: Object = {"modelServerRef": {"name": "llama"}}
EXTERNAL: Object = {"external": {"url": "http://llm.team.svc:8080/v1", "model": "qwen"}}
SUMMARY: Object = {
    "accuracy": "0.5", "joulesTotal": "1234.567", "joulesPerCorrect": "123.4567", "energyKind": "Simulated",
    "conserved": True,
    "counts": {"asked": 20, "answered": 20, "correct": 10, "incorrect": 10, "unscored": 0, "errors": 0},
}  # fmt: skip


def run(
    name: str = "first", *, server: Object = TEMPLATE, uid: str | None = None, made: float = 0, **spec: Any
) -> Object:
    """A BenchmarkRun as the API server holds it, with the schema's defaults."""
    return {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {
            "name": name, "namespace": "team", "uid": uid or f"uid-{name}", "generation": 1,
            "creationTimestamp": time(made),
        },
        "spec": {"server": server, "task": {"name": "everyday"}, **spec},
    }  # fmt: skip


def server(name: str = "llama", *, ready: bool = True, **spec: Any) -> Object:
    """A ModelServer of somebody, as the API server holds it."""
    item = {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "ModelServer",
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1},
        "spec": {"engine": "Simulator", "model": "sim", **spec},
    }
    return {**item, "status": ready_status()} if ready else item


def ready_status() -> Object:
    """The status of a ModelServer that answers."""
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": time(0)}
    return {"observedGeneration": 1, "conditions": [ready], "url": "http://x", "resolved": {"engineVersion": "1.2"}}


def time(seconds: float) -> str:
    """So many seconds after the beginning, as the API server writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(
    name: str, *, labels: Object, node: str | None = "gpu-1", ip: str | None = "10.0.0.7", namespace: str = "team"
) -> Object:
    """A pod as the API server holds it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": labels},
        "spec": {} if node is None else {"nodeName": node},
        "status": {} if ip is None else {"podIP": ip},
    }


def exporter(node: str = "gpu-1", *, ready: bool = True) -> Object:
    """A pod of the exporter's DaemonSet."""
    labels = {"app.kubernetes.io/component": "exporter", "app.kubernetes.io/managed-by": "joulebench"}
    item = pod(f"exporter-{node}", labels=labels, node=node, ip="10.1.0.3", namespace="joulebench-system")
    item["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
    return item


def finding(reason: str = "UnknownTask") -> PreflightReport:
    """A report of preflight with one finding."""
    found = Finding.model_validate(
        {"field": "spec.task.name", "value": "evryday", "reason": reason, "message": "no task of that name",
         "remedy": "did you mean everyday?"}
    )  # fmt: skip
    return PreflightReport(runner_version="1", findings=[found])


PASSED = PreflightReport(runner_version="1", task=TASK)


@dataclass
class World:
    """One run among others, and all that is known."""

    name: str = "first"
    cache: Cache = field(default_factory=Cache)
    configuration: OperatorConfiguration = field(default_factory=OperatorConfiguration)
    settings: Settings = SETTINGS
    seconds: float = 0
    last: Decision = field(default_factory=Decision)
    made: list[str] = field(default_factory=list)
    """Everything that was ever made or changed, in order."""
    born: dict[Key, Object] = field(default_factory=dict)
    """What was made, whole: the cache keeps no more than decisions read."""

    # --- the operator ---

    @property
    def item(self) -> Object:
        """The run as it is."""
        found = self.cache.get(Key("BenchmarkRun", "team", self.name))
        assert found is not None
        return found

    @property
    def context(self) -> Context:
        """What decisions may know now."""
        return Context(self.cache, self.configuration, START + timedelta(seconds=self.seconds), self.settings)

    def visit(self, *, after: float = 0) -> Decision:
        """Decide, and carry the decision out."""
        self.seconds += after
        self.last = RunController().decide(self.item, self.context)
        self._apply(self.last)
        self._write(self.last)
        return self.last

    def _apply(self, decision: Decision) -> None:
        item, kept = self.item, set()
        for child in decision.children:
            body = owned(child.body, item)
            key = key_of(body)
            kept.add(key)
            before = self.cache.get(key)
            if before is None:
                self.made.append(str(key))
                self.born[key] = self._born(body)
                self.cache.put(self.born[key])
            elif not child.once:
                if before["metadata"].get("annotations") != body["metadata"].get("annotations"):
                    self.made.append(str(key))
                metadata = {**before["metadata"], **body["metadata"]}
                self.cache.put({**before, **body, "metadata": metadata})
        for kind in BY_NAME.values():
            for child_item in self.cache.owned(kind, item):
                if key_of(child_item) not in kept:
                    self.made.append(f"-{key_of(child_item)}")
                    self.cache.remove(key_of(child_item))

    def _born(self, body: Object) -> Object:
        metadata = {
            **body["metadata"],
            "uid": f"uid-{body['metadata']['name']}",
            "creationTimestamp": time(self.seconds),
        }
        return {**body, "metadata": {**metadata, "generation": 1}}

    def _write(self, decision: Decision) -> None:
        conditions = [self._condition(wanted) for wanted in decision.conditions]
        self.cache.put({**self.item, "status": {**decision.status, "observedGeneration": 1, "conditions": conditions}})

    def _condition(self, wanted: Wanted) -> Object:
        return {
            "type": wanted.type.value, "status": wanted.status.value, "reason": wanted.reason.value,
            "message": wanted.message, "lastTransitionTime": time(self.seconds),
        }  # fmt: skip

    # --- what is seen ---

    def says(self, kind: str) -> tuple[str, str] | None:
        """Status and reason of a condition."""
        return next(((str(one.status), str(one.reason)) for one in self.last.conditions if one.type == kind), None)

    def message(self, kind: str = "Ready") -> str:
        """Message of a condition."""
        return next(one.message for one in self.last.conditions if one.type == kind)

    @property
    def ready(self) -> str:
        """The reason of Ready: the printed column."""
        found = self.says("Ready")
        assert found is not None
        return found[1]

    def children(self, kind: str) -> list[str]:
        """Names of what there is of a kind and of the run."""
        return [item["metadata"]["name"] for item in self.cache.owned(BY_NAME[kind], self.item)]

    def get(self, kind: str, name: str) -> Object:
        """An object that is there."""
        found = self.cache.get(Key(kind, "team", name))
        assert found is not None, f"there is no {kind} {name}"
        return found

    def topology(self, attempt: int = 1) -> Object:
        """The topology as the runner reads it."""
        found: Object = json.loads(self.get("ConfigMap", f"{self.name}-{attempt}-topology")["data"]["topology.json"])
        return found

    # --- everybody else ---

    def change(self, **spec: Any) -> None:
        """Somebody edits the run."""
        self.cache.put({**self.item, "spec": {**self.item["spec"], **spec}})

    def job_pod(self, job: str, number: int = 1, **status: Any) -> Object:
        """The Job controller makes (or changes) a pod of a Job."""
        template = self.born[Key("Job", "team", job)]["spec"]["template"]
        item = pod(f"{job}-{number}", labels=template["metadata"]["labels"])
        item["metadata"]["creationTimestamp"] = time(self.seconds)
        item["spec"] = {**template["spec"], "nodeName": "cpu-1"}
        item["status"] = {"podIP": "10.0.0.9", **status}
        self.cache.put(item)
        return item

    def end_job(self, job: str, *, failed: str | None = None, message: str = "") -> None:
        """The Job controller says that a Job is over."""
        kind = {"type": "Complete"} if failed is None else {"type": "Failed", "reason": failed, "message": message}
        item = self.get("Job", job)
        condition = {**kind, "status": "True", "lastTransitionTime": time(self.seconds)}
        self.cache.put({**item, "status": {"conditions": [condition], "failed": 0 if failed is None else 1}})

    def preflight_ends(self, report: PreflightReport = PASSED, *, attempt: int = 1) -> None:
        """Preflight's pod ends with a report, and its Job with it."""
        self.preflight_ends_of(f"{self.name}-{attempt}-preflight", report)

    def preflight_ends_of(self, job: str, report: PreflightReport = PASSED) -> None:
        """The same, for a Job of another name."""
        self.job_pod(job, containerStatuses=[ended("preflight", 0 if report.passed else 2, report.as_message())])
        self.end_job(job, failed=None if report.passed else "PodFailurePolicy")

    def servers_answer(self, *, node: str | None = "gpu-1") -> None:
        """Every ModelServer of the run gets its pod, on a node, and answers."""
        for item in self.cache.owned(MODEL_SERVER, self.item):
            self.server_pod(item["metadata"]["name"], node=node)
            self.cache.put({**item, "status": ready_status()})

    def server_pod(self, name: str, *, node: str | None = "gpu-1") -> None:
        """A ModelServer's pod is on a node."""
        self.cache.put(
            pod(f"{name}-abc", labels={"joulebench.dev/server": name}, node=node, ip="10.0.0.7" if node else None)
        )

    def meter_says(
        self, stage: Stage = Stage.RUN, *, attempt: int = 1, energy: Object | None = None, **progress: Any
    ) -> None:
        """The runner's pod runs, and its meter answers."""
        job = f"{self.name}-{attempt}"
        self.job_pod(job, containerStatuses=[running("meter"), running("driver")])
        self.visit()
        status = MeterAnswer(
            run_id="x", stage=stage, stage_started_seconds_ago=60, servers=[], progress=Progress(**progress),
            energy=MeterEnergy(**(energy or {})),
        )  # fmt: skip
        for inquiry in self.last.inquiries:
            self.cache.answered(inquiry, status)

    def runner_ends(
        self,
        code: int = 0,
        words: Object | None = None,
        *,
        failed: str | None = None,
        attempt: int = 1,
        container: str = "meter",
    ) -> None:
        """The runner's pod ends, and its Job with it."""
        job = f"{self.name}-{attempt}"
        text = None if words is None else json.dumps({"state": "completed", **words})
        self.job_pod(job, containerStatuses=[ended(container, code, text)])
        self.end_job(job, failed=failed or (None if code == 0 else "PodFailurePolicy"))

    def pods_go(self) -> None:
        """All pods of the namespace end, as after `suspend`."""
        for item in self.cache.all(POD, "team"):
            self.cache.remove(key_of(item))

    def started(self, item: Object | None = None) -> "World":
        """The same with a run that was visited once, and an exporter on each node."""
        self.cache.put(exporter("gpu-1"))
        self.cache.put(exporter("gpu-2"))
        self.cache.put(item or run(self.name))
        self.visit()
        return self

    def asking(self, item: Object | None = None) -> "World":
        """The same with a run of a template whose questions are being asked."""
        self.started(item)
        self.preflight_ends()
        self.visit(after=10)
        self.servers_answer()
        self.visit(after=10)
        self.meter_says(total=20, asked=5, answered=4)
        self.visit(after=10)
        return self


def ended(name: str, code: int, message: str | None = None) -> Object:
    """A container that has ended."""
    state = {"exitCode": code} if message is None else {"exitCode": code, "message": message}
    return {"name": name, "state": {"terminated": state}}


def running(name: str) -> Object:
    """A container that runs."""
    return {"name": name, "state": {"running": {"startedAt": time(0)}}}


def waiting(name: str, reason: str, message: str = "") -> Object:
    """A container that has not started."""
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def as_yaml(items: list[Object]) -> str:
    """Objects as one file."""
    apart = json.loads(json.dumps(items))  # what two objects share would be written as a reference
    return yaml.safe_dump_all(apart, sort_keys=True, width=140)
