"""A cluster in memory: a server, its pods in any state, and what was answered about them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Context, Decision, Settings, Wanted
from joulebench_operator.inquiry import LastWords, Served, ServedAnswer
from joulebench_operator.kinds import DEPLOYMENT
from joulebench_operator.objects import Object, owned
from joulebench_operator.servers.controller import ServerController
from joulebench_operator.servers.plan import ServerPlan, server_plan

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SETTINGS = Settings(images={"Simulator": "ours/simulator:1", "LlamaCpp": "ours/llamacpp:1", "runner": "ours/runner:1"})


def time(seconds: float) -> str:
    """So many seconds after the server was made, as the API server writes it."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def server(name: str = "llama", *, status: Object | None = None, **spec: Any) -> Object:
    """A ModelServer as the API server holds it."""
    model = {} if "preset" in spec else {"engine": "vLLM", "model": "org/llama"}
    return {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "ModelServer",
        "metadata": {
            "name": name, "namespace": "team", "uid": "u1", "generation": 1, "creationTimestamp": time(0),
        },
        "spec": {**model, **spec},
        **({} if status is None else {"status": status}),
    }  # fmt: skip


def plan(
    *, name: str = "llama", configuration: dict[str, Any] | None = None, settings: Settings = SETTINGS, **spec: Any
) -> ServerPlan:
    """The plan of a server."""
    return server_plan(
        name,
        "team",
        ModelServerSpec.model_validate(server(**spec)["spec"]),
        configuration=OperatorConfiguration.model_validate(configuration or {}),
        settings=settings,
    )


def run(name: str = "first", *, validated: bool = True, finished: bool = False, **spec: Any) -> Object:
    """A BenchmarkRun as the API server holds it."""
    conditions = [("Validated", validated), ("Finished", finished)]
    return {
        "apiVersion": "joulebench.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": name, "namespace": "team", "uid": name},
        "spec": {"server": {"modelServerRef": {"name": "llama"}}, "task": {"name": "gsm8k"}, **spec},
        "status": {"conditions": [{"type": kind, "status": str(holds)} for kind, holds in conditions]},
    }


@dataclass
class World:
    """One server, and all that is known of it."""

    item: Object
    cache: Cache = field(default_factory=Cache)
    configuration: OperatorConfiguration = field(default_factory=OperatorConfiguration)
    settings: Settings = SETTINGS
    seconds: float = 60
    """Since the server was made."""

    def decide(self) -> Decision:
        """What is decided now."""
        now = START + timedelta(seconds=self.seconds)
        context = Context(self.cache, self.configuration, now, self.settings)
        return ServerController().decide(self.item, context)

    def written(self) -> Decision:
        """What is decided now, once the status was written and the children were applied."""
        decided = self.decide()
        conditions = [{"type": str(entry.type), "status": str(entry.status)} for entry in decided.conditions]
        self.item = {**self.item, "status": {**decided.status, "conditions": conditions}}
        for child in decided.children:
            self.cache.put(owned(child.body, self.item))
        return decided

    def template(self) -> Object:
        """The pod template of the Deployment that is decided now."""
        found: Object = child(self.decide(), DEPLOYMENT.name)["spec"]["template"]
        return found

    def pod(self, name: str = "llama-1", *, template: Object | None = None, **state: Any) -> Object:
        """A pod of the server in a state: `scheduled(...)`, `running(...)`, `crashed(...)` and the like."""
        metadata = (template or self.template())["metadata"]
        made = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "team", "uid": f"uid-{name}", "creationTimestamp": time(1), **metadata,
                **state.pop("metadata", {}),
            },
            "spec": {"nodeName": "gpu-1", **state.pop("spec", {})},
            "status": {"phase": "Pending", "podIP": "10.0.0.7", **state},
        }  # fmt: skip
        self.cache.put(made)
        return made

    def answer(self, *, ready: bool = True, message: str | None = None, version: str | None = None) -> None:
        """Let every pod that is asked answer."""
        for asked in self.decide().inquiries:
            if isinstance(asked, Served):
                self.cache.answered(asked, ServedAnswer(ready, message, version))

    def say(self, words: str) -> None:
        """Let every pod that ended have said this."""
        for asked in self.decide().inquiries:
            if isinstance(asked, LastWords):
                self.cache.answered(asked, words)


def world(**spec: Any) -> World:
    """A server of that spec, and no pod."""
    return World(server(**spec))


def child(decided: Decision, kind: str, name: str | None = None) -> Object:
    """The one child of a kind, or of a name besides."""
    found = [
        entry.body
        for entry in decided.children
        if entry.body["kind"] == kind and name in (None, entry.body["metadata"]["name"])
    ]
    assert len(found) == 1, [entry.body["metadata"]["name"] for entry in decided.children]
    return found[0]


def conditions(decided: Decision) -> dict[str, str]:
    """`{"Ready": "False Starting", ...}`."""
    return {str(entry.type): f"{entry.status} {entry.reason}" for entry in decided.conditions}


def condition(decided: Decision, kind: str = "Ready") -> Wanted:
    """One condition."""
    return next(entry for entry in decided.conditions if entry.type == kind)


# --- states of a pod --------------------------------------------------------------------------------------------------


def scheduled(*, at: float = 2) -> Object:
    """On a node; its image is being pulled."""
    return _status([("PodScheduled", True, at), ("Ready", False, at)], waiting={"reason": "ContainerCreating"})


def unschedulable(message: str) -> Object:
    """No node has room."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition], "podIP": None}


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    """Its container cannot be started."""
    why = {"reason": reason, "message": message}
    return _status([("PodScheduled", True, 2), ("Ready", False, 2)], waiting=why, **more)


def running(*, since: float = 20, ready: float | None = None, unready: float | None = None, **more: Any) -> Object:
    """Its container runs; `ready`: since when its probe is good; `unready`: since when it is not any more."""
    is_ready = ready is not None
    changed = ready if is_ready else unready if unready is not None else 2
    conditions = [("PodScheduled", True, 2), ("Ready", is_ready, changed or 0)]
    started = is_ready or unready is not None
    return _status(conditions, running={"startedAt": time(since)}, started=started, **more)


def ended(exit_code: int = 1, *, since: float = 20, until: float = 40, reason: str = "Error", **more: Any) -> Object:
    """How a container ended."""
    return {"exitCode": exit_code, "reason": reason, "startedAt": time(since), "finishedAt": time(until), **more}


def crashed(exit_code: int = 1, *, restarts: int = 1, **how: Any) -> Object:
    """Its container ended again, and waits."""
    last = {"terminated": ended(exit_code, **how)}
    return waiting("CrashLoopBackOff", "back-off", lastState=last, restartCount=restarts)


def _status(conditions: list[tuple[str, bool, float]], **container: Any) -> Object:
    states = {name: container.pop(name) for name in ("waiting", "running", "terminated") if name in container}
    entry = {"name": "server", "restartCount": 0, "imageID": "ours/image@sha256:abc", "state": states, **container}
    return {
        "phase": "Running" if "running" in states else "Pending",
        "conditions": [
            {"type": kind, "status": str(holds), "lastTransitionTime": time(at)} for kind, holds, at in conditions
        ],
        "containerStatuses": [entry],
    }
