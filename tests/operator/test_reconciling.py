"""A visit: what is written, what is not, and what is told when it cannot be."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.operator.fake_kube import FakeKube, refusal

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Child, Context, Decision, Settings, Wanted
from joulebench_operator.errors import ApiRefusalError, ForeignObjectError
from joulebench_operator.inquiry import Inquiry, MeterStatus
from joulebench_operator.kinds import CONFIG_MAP, DEPLOYMENT, JOB, MODEL_SERVER, SERVICE, Key, Kind
from joulebench_operator.objects import Object, key_of, labels, new, owned
from joulebench_operator.reconciling import Reconciler

SERVER = Key("ModelServer", "team", "llama")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def wanted(reason: Reason = Reason.STARTING) -> Wanted:
    return Wanted(ConditionType.READY, ConditionStatus.FALSE, reason)


def child(kind: Kind, name: str = "llama", **fields: Any) -> Child:
    return Child(new(kind, name=name, namespace="team", labels=labels("server", instance="llama"), **fields))


DEPLOYMENT_CHILD = child(DEPLOYMENT, spec={"replicas": 1})


class Listener:
    """Remembers what is to be asked."""

    def __init__(self) -> None:
        self.wants: dict[Key, frozenset[Inquiry]] = {}

    def want(self, key: Key, inquiries: Any) -> None:
        self.wants[key] = frozenset(inquiries)


@dataclass
class Stage:
    """A reconciler among stand-ins, whose next decision a test says."""

    decision: Decision
    kube: FakeKube = field(default_factory=FakeKube)
    cache: Cache = field(default_factory=Cache)
    asked: Listener = field(default_factory=Listener)
    seconds: float = 0.0

    kind = MODEL_SERVER

    def __post_init__(self) -> None:
        metadata = {"name": SERVER.name, "namespace": SERVER.namespace}
        server = {"apiVersion": MODEL_SERVER.api_version, "kind": MODEL_SERVER.name, "metadata": metadata, "spec": {}}
        self.kube.put(server)
        self.see()
        self.reconciler = self.fresh()

    def fresh(self) -> Reconciler:
        """A reconciler that remembers nothing, as after a restart."""
        kube: Any = self.kube
        asked: Any = self.asked
        return Reconciler(
            [self],
            cache=self.cache,
            kube=kube,
            inquirer=asked,
            context=self.context,
            clock=lambda: self.seconds,
            identity="test",
        )

    def context(self) -> Context:
        return Context(cache=self.cache, configuration=OperatorConfiguration(), now=NOW, settings=Settings())

    def decide(self, item: Object, context: Context) -> Decision:
        return self.decision

    def see(self) -> None:
        """The watches tell everything that is there."""
        for item in self.kube.objects.values():
            self.cache.put(item)

    async def visit(self) -> float | None:
        """What is written by one visit is in `kube.writes`."""
        self.kube.writes.clear()
        return await self.reconciler.visit(SERVER)

    @property
    def ready(self) -> dict[str, Any]:
        conditions = self.kube.objects[SERVER]["status"]["conditions"]
        found: dict[str, Any] = next(one for one in conditions if one["type"] == "Ready")
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage(Decision(children=(DEPLOYMENT_CHILD, child(SERVICE, spec={})), conditions=(wanted(),)))


async def test_children_and_status_are_written_once_and_then_nothing(stage: Stage) -> None:
    await stage.visit()
    assert stage.kube.writes == [
        ("apply", Key("Deployment", "team", "llama")),
        ("apply", Key("Service", "team", "llama")),
        ("status", SERVER),
    ]
    await stage.visit()
    assert stage.kube.writes == []


async def test_a_restart_writes_nothing(stage: Stage) -> None:
    await stage.visit()
    stage.cache = Cache()
    stage.see()
    stage.reconciler = stage.fresh()
    await stage.visit()
    assert stage.kube.writes == []


async def test_a_child_belongs_to_its_owner(stage: Stage) -> None:
    await stage.visit()
    (reference,) = stage.kube.objects[Key("Deployment", "team", "llama")]["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"], reference["controller"]) == ("ModelServer", "llama", True)


async def test_a_child_that_somebody_changed_is_mended_by_one_write(stage: Stage) -> None:
    await stage.visit()
    changed = stage.kube.objects[Key("Deployment", "team", "llama")]
    stage.kube.put({**changed, "spec": {"replicas": 5}})
    stage.see()
    await stage.visit()
    assert stage.kube.writes == [("apply", Key("Deployment", "team", "llama"))]
    assert stage.kube.objects[Key("Deployment", "team", "llama")]["spec"] == {"replicas": 1}


async def test_what_the_api_server_writes_its_own_way_is_applied_once_only(stage: Stage) -> None:
    """Our comparison may not know every way in which the API server rewrites a field; it must not write for ever."""
    store = stage.kube._store

    def rewriting(item: Object) -> Object:
        return store({**item, "spec": {"replicas": "one"}} if item["kind"] == "Deployment" else item)

    stage.kube._store = rewriting  # type: ignore[method-assign]
    await stage.visit()
    await stage.visit()
    assert stage.kube.writes == []


async def test_a_child_that_is_not_wanted_any_more_is_deleted_before_others_are_made(stage: Stage) -> None:
    await stage.visit()
    stage.see()
    stage.decision = replace(stage.decision, children=(child(CONFIG_MAP, data={}), DEPLOYMENT_CHILD))
    await stage.visit()
    assert stage.kube.writes == [
        ("delete", Key("Service", "team", "llama")),
        ("apply", Key("ConfigMap", "team", "llama")),
    ]
    await stage.visit()
    assert stage.kube.writes == []


async def test_a_child_that_is_made_once_is_never_changed(stage: Stage) -> None:
    job = replace(child(JOB, spec={"suspend": False}), once=True)
    stage.decision = Decision(children=(job,), conditions=(wanted(),))
    await stage.visit()
    stage.decision = Decision(children=(replace(job, body={**job.body, "spec": {"suspend": True}}),))
    await stage.visit()
    assert stage.kube.objects[Key("Job", "team", "llama")]["spec"] == {"suspend": False}
    assert stage.kube.writes == [("status", SERVER)]


async def test_what_is_made_once_and_is_there_already_is_taken_as_it_is(stage: Stage) -> None:
    """The watch has not told of it yet: it was made just before a restart."""
    job = replace(child(JOB, spec={"suspend": False}), once=True)
    stage.decision = Decision(children=(job,), conditions=(wanted(),))
    before = stage.kube.put(owned(job.body, stage.kube.objects[SERVER]))
    await stage.visit()
    assert stage.kube.objects[key_of(before)] == before
    assert stage.kube.writes == [("status", SERVER)]


async def test_an_object_of_somebody_else_is_left_alone_also_where_ours_is_made_once(stage: Stage) -> None:
    stage.decision = Decision(children=(replace(child(JOB), once=True),), conditions=(wanted(),))
    theirs = stage.kube.put(new(JOB, name="llama", namespace="team", labels={}, spec={}))
    with pytest.raises(ForeignObjectError):
        await stage.visit()
    assert stage.kube.objects[key_of(theirs)] == theirs
    assert stage.ready["reason"] == "NameTaken"


async def test_an_object_of_somebody_else_is_left_alone_and_said_so(stage: Stage) -> None:
    theirs = stage.kube.put(new(DEPLOYMENT, name="llama", namespace="team", labels={}, spec={"replicas": 9}))
    with pytest.raises(ForeignObjectError):
        await stage.visit()
    assert stage.kube.objects[key_of(theirs)] == theirs
    assert (stage.ready["status"], stage.ready["reason"]) == ("False", "NameTaken")
    assert "Deployment llama exists and belongs to nobody" in stage.ready["message"]


async def test_what_a_predecessor_of_the_same_name_left_is_waited_for(stage: Stage) -> None:
    before = {**stage.kube.objects[SERVER], "metadata": {**stage.kube.objects[SERVER]["metadata"], "uid": "before"}}
    stage.kube.put(owned(DEPLOYMENT_CHILD.body, before))
    assert await stage.visit() == 2.0
    assert stage.kube.writes == []


async def test_a_refusal_that_will_last_is_told_in_the_status_and_tried_again(stage: Stage) -> None:
    stage.kube.refuses["apply"] = refusal(422, "spec.template.spec.volumes: Invalid value")
    with pytest.raises(ApiRefusalError):
        await stage.visit()
    assert stage.ready["reason"] == "Refused"
    assert "Invalid value" in stage.ready["message"]


async def test_in_a_namespace_that_is_being_deleted_nothing_is_tried_or_told(stage: Stage) -> None:
    stage.kube.refuses["apply"] = refusal(
        403, "unable to create new content in namespace team because it is being terminated"
    )
    assert await stage.visit() is None
    assert "status" not in stage.kube.objects[SERVER]


async def test_what_the_watch_tells_to_be_gone_before_the_api_server_has_answered_stays_gone(stage: Stage) -> None:
    await stage.visit()
    stage.see()
    service = Key("Service", "team", "llama")
    delete = stage.kube.delete

    async def told_first(item: Object) -> None:
        await delete(item)
        stage.cache.end(item)

    stage.kube.delete = told_first  # type: ignore[method-assign]
    stage.decision = replace(stage.decision, children=(DEPLOYMENT_CHILD,))
    await stage.visit()
    assert stage.cache.get(service) is None


async def test_a_server_that_is_overloaded_changes_no_status(stage: Stage) -> None:
    stage.kube.refuses["apply"] = refusal(429)
    with pytest.raises(ApiRefusalError):
        await stage.visit()
    assert "status" not in stage.kube.objects[SERVER]


async def test_an_event_tells_of_a_new_reason_and_of_nothing_else(stage: Stage) -> None:
    await stage.visit()
    await stage.visit()
    stage.decision = Decision(conditions=(Wanted(ConditionType.READY, ConditionStatus.TRUE, Reason.SERVING),))
    await stage.visit()
    assert [event["reason"] for event in stage.kube.events] == ["Starting", "Serving"]


async def test_an_event_that_is_refused_stops_nothing(stage: Stage) -> None:
    stage.kube.refuses["emit"] = refusal(403)
    assert await stage.visit() is None


def progress(stage: Stage) -> Callable[[int], None]:
    def so_many(completed: int) -> None:
        stage.decision = Decision(
            conditions=(wanted(),), status={"progress": {"completed": completed}}, progress=("progress",)
        )

    return so_many


async def test_progress_alone_is_written_every_five_seconds_at_most(stage: Stage) -> None:
    so_many = progress(stage)
    so_many(1)
    await stage.visit()
    so_many(2)
    stage.seconds = 2.0
    assert await stage.visit() == pytest.approx(3.0)
    assert stage.kube.writes == []
    stage.seconds = 5.0
    assert await stage.visit() is None
    assert stage.kube.writes == [("status", SERVER)]


async def test_a_new_condition_is_written_at_once_with_the_progress(stage: Stage) -> None:
    so_many = progress(stage)
    so_many(1)
    await stage.visit()
    so_many(2)
    stage.decision = replace(stage.decision, conditions=(wanted(Reason.RUNNING),))
    await stage.visit()
    assert stage.kube.objects[SERVER]["status"]["progress"] == {"completed": 2}


async def test_time_limits_are_looked_at_again(stage: Stage) -> None:
    stage.decision = replace(stage.decision, again_after_seconds=17.0)
    assert await stage.visit() == 17.0


async def test_what_is_to_be_asked_is_asked_until_the_object_is_gone(stage: Stage) -> None:
    asked = MeterStatus("http://10.0.0.1:8781")
    stage.decision = replace(stage.decision, inquiries=(asked,))
    await stage.visit()
    assert stage.asked.wants[SERVER] == {asked}
    stage.cache.remove(SERVER)
    await stage.visit()
    assert stage.asked.wants[SERVER] == frozenset()


async def test_an_object_that_is_being_deleted_is_left_to_the_garbage_collector(stage: Stage) -> None:
    item = stage.kube.objects[SERVER]
    stage.kube.put({**item, "metadata": {**item["metadata"], "deletionTimestamp": "2026-01-31T12:00:00Z"}})
    stage.see()
    await stage.visit()
    assert stage.kube.writes == []
