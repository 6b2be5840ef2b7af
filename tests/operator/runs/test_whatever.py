"""Whatever happens, in whatever order: a decision is made, it fits the schema, and nothing is made that must not be."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.operator.runs.builders import (
    EXTERNAL,
    PASSED,
    REF,
    SUMMARY,
    TEMPLATE,
    World,
    ended,
    exporter,
    finding,
    ready_status,
    run,
    running,
    server,
    time,
    waiting,
)

from joulebench_api.contracts.meter import EnergyState, MeterStatus, Progress, Stage
from joulebench_api.crd.definition import definition
from joulebench_api.crd.jsonschema import from_structural
from joulebench_api.crd.kinds import KINDS
from joulebench_api.v1alpha1.status import BenchmarkRunStatus
from joulebench_operator.decision import Decision
from joulebench_operator.kinds import BY_NAME, Key
from joulebench_operator.objects import Object, key_of

_RUN_CRD = next(definition(kind) for kind in KINDS if kind.name == "BenchmarkRun")
_SCHEMA = Draft202012Validator(
    from_structural(_RUN_CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"])
)

SPECS: list[Object] = [
    {},
    {},
    {"server": REF},
    {"server": {**REF, "access": "Shared"}, "judge": {"server": REF}},
    {"server": EXTERNAL},
    {"server": {"external": {**EXTERNAL["external"], "podSelector": {"matchLabels": {"a": "b"}}}}},
    {"judge": {"server": TEMPLATE}, "submodels": [{"name": "small", "server": TEMPLATE}]},
    {"energy": {"policy": "Required"}, "timeouts": {"serverReady": "10m", "queue": "5m"}},
    {"energy": {"policy": "Disabled"}, "queue": {"name": "q"}, "ttlAfterFinished": "10m"},
    {"results": {"store": {"objectStore": {"url": "s3://b/" + "x" * 2000}}}},
    {"shards": 3},
    {"task": {}},
]

_long = st.sampled_from(["", "x" * 5000, "ü" * 5000, 'secret "a" not found'])
_words = st.sampled_from(
    [None, "no JSON", "[]", '{"state": "novel"}', json.dumps({"state": "completed", "summary": SUMMARY}),
     json.dumps({"state": "failed", "message": "m" * 3000, "results": {"url": "u" * 3000}}), PASSED.as_message(),
     finding().as_message(), json.dumps({"state": "completed", "summary": {"accuracy": "9" * 99}, "sensor": "s" * 999})]
)  # fmt: skip


@st.composite
def _containers(draw: st.DrawFn, *names: str) -> list[Object]:
    states = []
    for name in names:
        kind = draw(st.sampled_from(["running", "waiting", "ended", "none"]))
        if kind == "running":
            states.append(running(name))
        elif kind == "waiting":
            reasons = ["ImagePullBackOff", "CreateContainerConfigError", "ContainerCreating"]
            states.append(waiting(name, draw(st.sampled_from(reasons)), draw(_long)))
        elif kind == "ended":
            states.append(ended(name, draw(st.sampled_from([0, 1, 2, 3, 75, 130, 137])), draw(_words)))
        else:
            states.append({"name": name, "state": draw(st.sampled_from([None, {}]))})
    return states


@st.composite
def _pod_status(draw: st.DrawFn, *names: str) -> Object:
    status: Object = {
        "containerStatuses": draw(_containers(*names)),
        "podIP": draw(st.sampled_from([None, "10.0.0.9", "fd00::1"])),
    }
    status["initContainerStatuses"] = draw(st.one_of(st.none(), _containers("preflight", "fetch")))
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": draw(_long)}
    status["conditions"] = draw(st.sampled_from([None, [], [unschedulable]]))
    return draw(st.sampled_from([status, {}]))


_condition = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Complete", "Failed", "Suspended"]),
        "status": st.sampled_from(["True", "False"]),
        "reason": st.sampled_from(["DeadlineExceeded", "BackoffLimitExceeded", "PodFailurePolicy", "Novel"]),
        "lastTransitionTime": st.sampled_from([time(0), time(1000), "no time"]),
    }
)
_job_status = st.fixed_dictionaries(
    {}, optional={"conditions": st.lists(_condition, max_size=2), "failed": st.sampled_from([0, 2, None])}
)
_stalled = {"type": "Stalled", "status": "True", "reason": "Novel", "message": "s" * 2000}
_server_status = st.sampled_from([None, ready_status(), {"conditions": [_stalled]}, {"conditions": None}])
_run_status = st.sampled_from(
    [None, {}, {"conditions": None, "attempts": None}, {"attempts": [{"number": 7, "rerunToken": "t"}]},
     {"attempts": [{"number": 2}], "conditions": [{"type": "Validated", "status": "True"}], "stages": [{"name": "x"}]},
     {"attempts": [{"number": 1}], "stages": [{"name": "server", "startTime": "no time"}], "startTime": "no time"}]
)  # fmt: skip


def _happens(world: World, data: st.DataObject) -> None:
    """Something happens in the cluster."""
    what = data.draw(
        st.sampled_from(["pod", "job", "server", "exporter", "edit", "remove", "answer", "status", "visit"])
    )
    if what == "pod" and world.children("Job"):
        job = data.draw(st.sampled_from(world.children("Job")))
        alone = next((name for name in ("preflight", "finalise") if name in job), None)
        names = ("driver", "meter") if alone is None else (alone,)
        world.job_pod(job, data.draw(st.integers(1, 2)), **data.draw(_pod_status(*names)))
    elif what == "job" and world.children("Job"):
        job = data.draw(st.sampled_from(world.children("Job")))
        world.cache.put({**world.get("Job", job), "status": data.draw(_job_status)})
    elif what == "server":
        _server_happens(world, data)
    elif what == "exporter":
        world.cache.put(exporter(data.draw(st.sampled_from(["gpu-1", "gpu-2"])), ready=data.draw(st.booleans())))
    elif what == "edit":
        edits: list[Object] = [
            {"suspend": True},
            {"suspend": False},
            {"rerunToken": "t"},
            {"rerunToken": "u"},
            {"ttlAfterFinished": "0s"},
        ]
        world.change(**data.draw(st.sampled_from(edits)))
    elif what == "remove":
        kind = BY_NAME[data.draw(st.sampled_from(["Job", "ConfigMap", "ModelServer", "Pod", "PersistentVolumeClaim"]))]
        for item in world.cache.all(kind, "team"):
            world.cache.remove(key_of(item))
    elif what == "answer":
        _answer(world, data)
    elif what == "status":
        world.cache.put({**world.item, "status": data.draw(_run_status)})


def _server_happens(world: World, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["llama", *world.children("ModelServer")]))
    known = {item["metadata"]["name"]: item for item in world.cache.all(BY_NAME["ModelServer"], "team")}
    specs: list[Object] = [{}, {"replicas": 2}, {"engine": "SGLang"}, {"engine": None}]
    item = known.get(name) or server(name, **data.draw(st.sampled_from(specs)))
    world.cache.put({**item, "status": data.draw(_server_status)})
    world.server_pod(name, node=data.draw(st.sampled_from([None, "gpu-1", "gpu-2"])))


def _answer(world: World, data: st.DataObject) -> None:
    status = MeterStatus(
        run_id="x",
        stage=data.draw(st.sampled_from(Stage)),
        stage_started_seconds_ago=data.draw(st.floats(0, 1e6)),
        servers=[],
        progress=Progress(
            total=data.draw(st.sampled_from([None, 0, 20])),
            answered=data.draw(st.integers(0, 30)),
            errors=data.draw(st.integers(0, 3)),
        ),
        energy=EnergyState(),
    )
    pods: list[Object] = [{**exporter(), "metadata": {"name": "p", "namespace": "team"}}]
    for inquiry in world.last.inquiries:
        is_meter = type(inquiry).__name__ == "MeterStatus"
        world.cache.answered(inquiry, data.draw(st.sampled_from([None, status] if is_meter else [None, [], pods])))


def _check(world: World, before: set[Key], decision: Decision, *, ended: int | None) -> None:
    status: Object = world.item["status"]
    BenchmarkRunStatus.model_validate(status)
    _SCHEMA.validate(status)
    assert len(json.dumps(status, ensure_ascii=False).encode()) <= 16 * 1024
    types = [one.type for one in decision.conditions]
    assert "Ready" in types
    assert len(types) == len(set(types))
    made = {key_of(child.body) for child in decision.children} - before
    if ended == _attempt(world):
        assert not made
        assert ended == _ended_attempt(world)
    if world.says("Validated") != ("True", "PreflightPassed"):
        assert not [key for key in made if key.kind == "ModelServer"]


def _ended_attempt(world: World) -> int | None:
    """The attempt that has ended; None while none has."""
    conditions = (world.item.get("status") or {}).get("conditions") or ()
    is_finished = any(one["type"] == "Finished" and one["status"] == "True" for one in conditions)
    return _attempt(world) if is_finished else None


def _attempt(world: World) -> int:
    number: int = world.item["status"]["attempts"][-1]["number"]
    return number


def _begun(spec: Object, how: str) -> World:
    """A run that was not seen yet, or (of a template) one that asks, or has ended."""
    world = World()
    if spec or how == "fresh":
        world.cache.put({**run(), "spec": {**run()["spec"], **spec}})
        return world
    world.asking()
    if how == "ended":
        world.runner_ends(0, {"summary": SUMMARY})
        world.visit(after=60)
    return world


@settings(max_examples=200)
@given(data=st.data(), spec=st.sampled_from(SPECS))
def test_whatever_happens_a_decision_is_made_and_fits(data: st.DataObject, spec: Object) -> None:
    world = _begun(spec, data.draw(st.sampled_from(["fresh", "asking", "ended"])))
    world.cache.put(run("other", server=REF, made=-1))
    for _ in range(data.draw(st.integers(1, 12))):
        _happens(world, data)
        before = {key_of(item) for kind in BY_NAME.values() for item in world.cache.all(kind, "team")}
        ended = _ended_attempt(world)
        decision = world.visit(after=data.draw(st.sampled_from([0, 1, 400, 4000])))
        _check(world, before, decision, ended=ended)
