"""A run of several shards: an Indexed Job asks, and one Job makes the results of all."""

import json
from typing import Any

import pytest
from tests.operator.runs.builders import REF, SUMMARY, World, ended, run, running, server, waiting

from joulebench_api.contracts.meter import EnergyState, MeterStatus, Progress, Stage
from joulebench_operator.kinds import POD, Key
from joulebench_operator.objects import Object

_INDEX = "batch.kubernetes.io/job-completion-index"
ASKED: Object = {"counts": {"asked": 10, "answered": 10, "correct": 5, "incorrect": 5, "unscored": 0, "errors": 0}}


class Shards:
    """A run of two shards that asks, and what its pods say."""

    def __init__(self, **spec: Any) -> None:
        self.world = World().started(run(shards=2, concurrency=4, **spec))
        self.world.preflight_ends()
        self.world.visit(after=10)
        self.world.servers_answer()
        self.world.visit(after=10)

    def pod(self, index: int, *containers: Object, number: int = 1) -> None:
        """A pod of a shard is in some state."""
        item = self.world.job_pod("first-1", containerStatuses=list(containers))
        self.world.cache.remove(Key("Pod", "team", item["metadata"]["name"]))
        item["metadata"] |= {"name": f"first-1-{index}-{number}", "annotations": {_INDEX: str(index)}}
        item["status"]["podIP"] = f"10.0.{index}.{number}"
        self.world.cache.put(item)

    def asks(self, index: int, *, number: int = 1) -> None:
        self.pod(index, running("driver"), running("meter"), number=number)

    def ends(self, index: int, code: int = 0, *, state: str = "completed", message: str = "") -> None:
        words = json.dumps({"state": state, "message": message or None, "summary": ASKED})
        self.pod(index, ended("driver", 0), ended("meter", code, words))

    def says(self, index: int, stage: Stage = Stage.RUN, *, number: int = 1, **progress: Any) -> None:
        """The meter of a shard answers."""
        self.world.visit()
        status = MeterStatus(
            run_id="x", stage=stage, stage_started_seconds_ago=60, servers=[], progress=Progress(**progress),
            energy=EnergyState(joules=100.0 + index),
        )  # fmt: skip
        for inquiry in self.world.last.inquiries:
            if f"10.0.{index}.{number}:" in getattr(inquiry, "address", ""):
                self.world.cache.answered(inquiry, status)

    def asking(self) -> "Shards":
        for index in range(2):
            self.asks(index)
            self.says(index, total=10, answered=3 + index)
        self.world.visit(after=10)
        return self

    def all_end(self) -> "Shards":
        self.asking()
        for index in range(2):
            self.ends(index)
        self.world.end_job("first-1")
        self.world.visit(after=20)
        return self

    def made(self, code: int = 0, **words: Any) -> None:
        """The Job that makes the results ends."""
        text = json.dumps({"state": "completed", "summary": SUMMARY, **words})
        self.world.job_pod("first-1-finalise", containerStatuses=[ended("finalise", code, text)])
        self.world.end_job("first-1-finalise", failed=None if code == 0 else "PodFailurePolicy")
        self.world.visit(after=20)


def test_the_job_has_a_pod_for_each_index_and_preflight_is_a_job_of_its_own() -> None:
    world = World()
    world.cache.put(server())
    world.server_pod("llama")
    world.started(run(server=REF, shards=3))
    assert world.children("Job") == ["first-1-preflight"]
    world.preflight_ends()
    world.visit(after=10)

    spec = world.get("Job", "first-1")["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimit"] == 3
    one = World()
    one.cache.put(server())
    one.server_pod("llama")
    one.started(run(server=REF))
    assert "completionMode" not in one.get("Job", "first-1")["spec"]


def test_progress_is_that_of_all_shards() -> None:
    shards = Shards().asking()
    progress = shards.world.last.status["progress"]
    assert (progress["completed"], progress["total"], progress["display"]) == (7, 20, "7/20")
    assert shards.world.ready == "Running"

    shards.ends(0)
    shards.says(1, total=10, answered=6)
    shards.world.visit(after=10)
    assert shards.world.last.status["progress"]["display"] == "16/20"
    assert shards.world.ready == "Running"


def test_a_shard_that_is_not_heard_of_takes_nothing_from_what_is_known() -> None:
    shards = Shards().asking()
    shards.pod(1, ended("driver", 137), ended("meter", 75))
    shards.world.visit(after=5)
    assert shards.world.last.status["progress"]["display"] == "7/20"
    assert shards.world.ready == "Running"

    shards.world.visit(after=5)
    shards.asks(1, number=2)
    shards.says(1, Stage.STARTUP, number=2, total=10, answered=4)
    shards.world.visit(after=5)
    assert shards.world.ready == "Running"
    assert [stage["name"] for stage in shards.world.last.status["stages"]] == ["preflight", "server", "run"]


def test_when_all_shards_have_ended_one_job_makes_the_results_of_all() -> None:
    shards = Shards().all_end()
    world = shards.world
    assert "first-1-finalise" in world.children("Job")
    assert world.ready == "StoringResults"
    assert world.says("Finished") == ("False", "StoringResults")
    assert "summary" not in world.last.status
    (container,) = world.get("Job", "first-1-finalise")["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "finalise"
    assert {mount["name"] for mount in container["volumeMounts"]} == {"assignment", "results", "finalise-files"}
    assert "nvidia.com/gpu" not in json.dumps(container)
    again = [child.body["metadata"]["name"] for child in world.visit().children]
    assert again.count("first-1-finalise") == 1

    shards.made()
    assert world.says("Ready") == ("True", "Succeeded")
    assert world.last.status["summary"] == SUMMARY
    assert world.last.status["progress"]["display"] == "20/20"
    assert world.children("ModelServer") == []
    assert [stage["name"] for stage in world.last.status["stages"]] == ["preflight", "server", "run", "results"]


def test_a_run_that_took_too_long_leaves_time_to_make_its_results() -> None:
    shards = Shards(timeouts={"run": "8s"}).asking()
    shards.world.visit(after=1)
    assert shards.world.get("Job", "first-1")["spec"]["activeDeadlineSeconds"] == 1
    for index in range(2):
        shards.ends(index, 130)
    shards.world.end_job("first-1", failed="DeadlineExceeded")
    shards.world.visit(after=20)
    assert shards.world.get("Job", "first-1-finalise")["spec"]["activeDeadlineSeconds"] == 3600
    shards.made(1)
    assert shards.world.says("Succeeded") == ("False", "RunTimeout")


@pytest.mark.parametrize(
    ("code", "words", "reason"), [(3, {"energy_incomplete": True}, "EnergyIncomplete"), (1, {}, "RunFailed")]
)
def test_what_the_results_lack_is_the_run_s_verdict(code: int, words: Object, reason: str) -> None:
    shards = Shards().all_end()
    shards.made(code, **words)
    assert shards.world.says("Succeeded") == ("False", reason)
    assert shards.world.last.status["summary"] == SUMMARY


def test_a_shard_s_verdict_is_the_run_s_and_what_was_asked_has_results() -> None:
    shards = Shards().asking()
    shards.ends(0, 3, state="error-limit", message="2 of 10 questions failed")
    shards.ends(1, 130, state="interrupted", message="stopped by SIGTERM")
    shards.world.end_job("first-1", failed="PodFailurePolicy")
    shards.world.visit(after=20)
    assert shards.world.says("Finished") == ("False", "StoringResults")
    shards.made(3, state="error-limit")

    assert shards.world.says("Succeeded") == ("False", "ErrorLimitExceeded")
    assert shards.world.message("Succeeded") == "2 of 10 questions failed"
    assert shards.world.last.status["summary"] == SUMMARY


def test_a_run_that_never_asked_makes_no_results() -> None:
    shards = Shards()
    shards.pod(0, waiting("meter", "PodInitializing"), waiting("driver", "PodInitializing"))
    shards.world.end_job("first-1", failed="DeadlineExceeded")
    shards.world.visit(after=20)
    assert shards.world.says("Finished") == ("True", "ServerReadyTimeout")
    assert "first-1-finalise" not in shards.world.children("Job")


def test_suspending_holds_all_shards_back_and_results_that_are_made_go_on() -> None:
    shards = Shards().asking()
    shards.world.change(suspend=True)
    shards.world.visit()
    job = shards.world.get("Job", "first-1")
    assert (job["spec"]["suspend"], job["spec"]["completions"]) == (True, 2)
    assert shards.world.children("ModelServer") == []

    ended_all = Shards().all_end().world
    ended_all.change(suspend=True)
    ended_all.visit()
    assert "first-1-finalise" in ended_all.children("Job")


def test_what_keeps_the_last_pod_from_starting_is_said() -> None:
    shards = Shards().all_end()
    stuck = waiting("finalise", "ImagePullBackOff", "no such image")
    shards.world.job_pod("first-1-finalise", containerStatuses=[stuck])
    shards.world.visit()
    assert shards.world.ready == "ImagePullFailed"


def test_the_pods_of_a_run_that_is_looked_at_again_are_those_that_were_there() -> None:
    shards = Shards().all_end()
    for item in shards.world.cache.all(POD, "team"):
        if item["metadata"]["name"].startswith("first-1-1"):
            shards.world.cache.remove(Key("Pod", "team", item["metadata"]["name"]))
    shards.made()
    assert shards.world.says("Ready") == ("True", "Succeeded")
