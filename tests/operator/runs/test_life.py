"""Suspending, attempting again, ending, and what stays afterwards."""

import json

import pytest
from tests.operator.runs.builders import EXTERNAL, SUMMARY, World, ended, exporter, run

from joulebench_api.contracts.meter import Stage
from joulebench_operator.decision import Settings
from joulebench_operator.kinds import BY_NAME, Key


def _finished(world: World) -> World:
    world.runner_ends(0, {"summary": SUMMARY})
    world.visit(after=60)
    return world


# --- suspend ---


def test_suspending_gives_the_accelerators_back_and_keeps_the_answers() -> None:
    world = World().asking()
    world.change(suspend=True)
    world.visit()

    assert world.says("Ready") == ("False", "Suspended")
    assert world.says("Reconciling") is None
    assert world.says("Stalled") is None
    assert world.children("ModelServer") == []
    assert world.get("Job", "first-1")["spec"]["suspend"] is True
    assert world.children("PersistentVolumeClaim") == ["first-results"]


def test_a_suspended_job_is_changed_once_and_in_nothing_else() -> None:
    world = World().asking()
    template = world.get("Job", "first-1")["spec"]["template"]
    world.settings = Settings(images={"runner": "ours/runner:2", "Simulator": "s"})
    world.change(suspend=True)
    world.visit()
    assert world.get("Job", "first-1")["spec"]["template"] == template
    world.made.clear()
    world.visit()

    assert world.made == []


def test_resuming_makes_the_server_again_and_needs_no_new_preflight() -> None:
    world = World().asking()
    world.change(suspend=True)
    world.visit()
    world.pods_go()
    world.cache.remove(Key("Job", "team", "first-1-preflight"))
    world.change(suspend=False)
    world.visit()

    assert world.children("ModelServer") == ["first-model"]
    assert world.children("Job") == ["first-1"]
    assert world.says("Validated") == ("True", "PreflightPassed")
    assert world.get("Job", "first-1")["spec"]["suspend"] is True, "nothing is asked before the server has a node"

    world.servers_answer()
    world.visit()
    assert world.get("Job", "first-1")["spec"]["suspend"] is False


def test_the_time_for_servers_begins_anew_when_a_run_goes_on() -> None:
    world = World().asking(run(timeouts={"serverReady": "10m"}))
    world.change(suspend=True)
    world.visit()
    world.pods_go()
    world.change(suspend=False)
    world.visit(after=7200)
    world.visit(after=60)

    assert world.says("Finished") == ("False", "WaitingForServer")


def test_a_run_that_asks_for_too_long_is_ended_by_its_job_which_is_changed_once() -> None:
    world = World().asking(run(timeouts={"run": "10m"}))
    deadline = world.get("Job", "first-1")["spec"]["activeDeadlineSeconds"]
    world.visit(after=580)
    assert world.get("Job", "first-1")["spec"]["activeDeadlineSeconds"] == deadline
    assert world.last.again_after_seconds is not None
    assert world.last.again_after_seconds <= 20

    template = world.get("Job", "first-1")["spec"]["template"]
    world.visit(after=21)
    assert world.get("Job", "first-1")["spec"]["activeDeadlineSeconds"] == 1
    assert world.get("Job", "first-1")["spec"]["template"] == template
    assert world.says("Finished") == ("False", "Running"), "the pod may still write what it has"
    world.made.clear()
    world.visit(after=1)
    assert world.made == []

    world.runner_ends(130, {"state": "interrupted"}, failed="DeadlineExceeded")
    world.visit(after=30)
    assert world.says("Finished") == ("True", "RunTimeout")


def test_a_run_that_is_made_suspended_makes_nothing() -> None:
    world = World().started(run(suspend=True))

    assert world.ready == "Suspended"
    assert world.made == []


# --- quota ---


def test_a_queued_run_begins_held_back_and_its_server_is_queued_too() -> None:
    world = World().started(run(queue={"name": "gpus", "priorityClassName": "high"}))
    world.preflight_ends()
    world.visit()
    assert world.get("ModelServer", "first-model")["spec"]["queue"] == {"name": "gpus", "priorityClassName": "high"}
    world.servers_answer()
    world.visit()
    job = world.get("Job", "first-1")
    world.visit()

    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "high"
    assert world.says("QuotaReserved") == ("False", "WaitingForQuota")
    assert world.ready == "WaitingForQuota"

    world.cache.put({**job, "spec": {**job["spec"], "suspend": False}})
    world.visit()
    assert world.says("QuotaReserved") == ("True", "QuotaReserved")
    assert world.get("Job", "first-1")["spec"]["suspend"] is False


def test_a_quota_that_does_not_come_ends_the_run() -> None:
    world = World().started(run(queue={"name": "gpus"}, timeouts={"queue": "10m"}))
    world.preflight_ends()
    world.visit()
    world.servers_answer()
    world.visit()
    world.visit(after=601)

    assert world.says("Succeeded") == ("False", "QueueTimeout")
    assert world.children("ModelServer") == []
    assert world.children("Job") == ["first-1-preflight"]


def test_a_suspended_run_gives_kueue_no_job_to_start() -> None:
    world = World().asking(run(queue={"name": "gpus"}))
    world.change(suspend=True)
    world.visit()

    assert world.children("Job") == ["first-1-preflight"]


# --- the latch ---


@pytest.mark.parametrize("kind", ["Job", "ConfigMap", "PersistentVolumeClaim", "Pod"])
def test_nothing_is_made_again_for_a_run_that_has_ended(kind: str) -> None:
    world = _finished(World().asking())
    before = world.item["status"]
    for item in world.cache.all(BY_NAME[kind], "team"):
        world.cache.remove(Key(kind, "team", item["metadata"]["name"]))
    world.made.clear()
    world.visit(after=3600)
    world.change(suspend=True)
    world.visit()
    world.change(suspend=False)
    world.visit()

    assert world.made == []
    assert {**before, "conditions": None} == {**world.item["status"], "conditions": None}
    assert world.says("Finished") == ("True", "Succeeded")


def test_a_run_whose_preflight_failed_stays_ended() -> None:
    world = World().started(run(server=EXTERNAL))
    world.job_pod("first-1", initContainerStatuses=[ended("preflight", 1)])
    world.end_job("first-1", failed="BackoffLimitExceeded")
    world.visit(after=60)
    assert world.says("Finished") == ("True", "PreflightFailed")
    world.cache.remove(Key("Job", "team", "first-1"))
    world.visit()

    assert world.children("Job") == []


def test_a_later_release_s_words_do_not_start_a_run_again() -> None:
    world = _finished(World().asking())
    status = world.item["status"]
    novel = {"type": "Novel", "status": "True", "reason": "New", "message": ""}
    world.cache.put({**world.item, "status": {**status, "novel": 1, "conditions": [*status["conditions"], novel]}})
    world.made.clear()
    world.visit()

    assert world.made == []
    assert world.says("Finished") == ("True", "Succeeded")


@pytest.mark.parametrize("kind", ["Job", "ConfigMap", "PersistentVolumeClaim", "ModelServer"])
def test_what_somebody_deletes_is_left_to_go_before_it_is_made_anew(kind: str) -> None:
    world = World().asking()
    for item in world.cache.owned(BY_NAME[kind], world.item):
        world.cache.put({**item, "metadata": {**item["metadata"], "deletionTimestamp": "2026-01-31T12:00:00Z"}})
    world.visit()

    assert not [child for child in world.last.children if child.body["kind"] == kind]


# --- ttl ---


def test_children_go_after_their_time_but_never_the_results() -> None:
    world = _finished(World().asking(run(ttlAfterFinished="1h")))
    assert world.last.again_after_seconds == pytest.approx(3600)
    world.visit(after=3500)
    assert world.children("Job") == ["first-1", "first-1-preflight"]
    assert world.last.again_after_seconds == pytest.approx(100)
    world.visit(after=100)

    assert world.children("Job") == []
    assert world.children("ConfigMap") == []
    assert world.children("PersistentVolumeClaim") == ["first-results"]
    assert world.last.again_after_seconds is None
    assert world.last.status["summary"] == SUMMARY


def test_a_time_to_live_that_is_given_later_counts_from_the_end() -> None:
    world = _finished(World().asking())
    assert world.last.again_after_seconds is None
    world.change(ttlAfterFinished="1m")
    world.visit(after=61)

    assert world.children("Job") == []


# --- rerun ---


def test_a_new_token_starts_another_attempt_and_keeps_the_first() -> None:
    world = _finished(World().asking())
    world.change(rerunToken="again")
    world.visit(after=60)

    assert world.children("Job") == ["first-2-preflight"]
    assert world.children("ConfigMap") == ["first-2"]
    assert world.children("PersistentVolumeClaim") == ["first-results"]
    assert world.says("Finished") == ("False", "Validating")
    assert world.says("Validated") == ("Unknown", "Validating")
    assert "summary" not in world.last.status
    first, second = world.last.status["attempts"]
    assert (first["number"], first["reason"], first["resultsURL"]) == (1, "Succeeded", "pvc://team/first-results/first")
    assert (second["number"], second["rerunToken"]) == (2, "again")
    assert second["resultsURL"] == "pvc://team/first-results/first-2"


def test_each_attempt_has_a_journal_of_its_own() -> None:
    world = _finished(World().asking())
    world.change(rerunToken="again")
    world.visit()
    told = json.loads(world.get("ConfigMap", "first-2")["data"]["assignment.json"])
    assert (told["run_id"], told["attempt"], told["folder"]) == ("uid-first-2", 2, "first-2")


def test_the_same_token_starts_nothing() -> None:
    world = _finished(World().asking(run(rerunToken="a")))
    world.made.clear()
    world.visit()

    assert world.made == []
    assert world.last.status["attempts"][0]["rerunToken"] == "a"


def test_taking_the_token_away_starts_nothing() -> None:
    world = _finished(World().asking(run(rerunToken="a")))
    world.change(rerunToken=None)
    world.made.clear()
    world.visit()

    assert world.made == []


def test_an_attempt_that_is_cut_short_by_another_says_so() -> None:
    world = World().asking()
    world.change(rerunToken="again")
    world.visit()

    assert world.last.status["attempts"][0]["reason"] == "Replaced"
    assert "completionTime" in world.last.status["attempts"][0]
    assert "first-1" not in world.children("Job")


def test_the_last_ten_attempts_are_kept() -> None:
    world = World().started(run(shards=2))
    for number in range(12):
        world.change(rerunToken=f"t{number}")
        world.visit()

    assert [attempt["number"] for attempt in world.last.status["attempts"]] == list(range(4, 14))


def test_a_status_stays_small_though_every_attempt_has_a_long_address() -> None:
    store = {"objectStore": {"url": "s3://bench/" + "x" * 1900}}
    world = World().started(run(results={"store": store}))
    for number in range(12):
        world.change(rerunToken=f"t{number}")
        world.visit()

    assert len(json.dumps(world.item["status"]).encode()) <= 16 * 1024
    assert world.last.status["attempts"][-1]["number"] == 13
    assert len(world.last.status["attempts"]) < 10


# --- stages ---


def test_stages_are_told_with_their_times() -> None:
    world = _finished(World().asking())

    assert [stage["name"] for stage in world.last.status["stages"]] == ["preflight", "server", "run"]
    assert all("endTime" in stage for stage in world.last.status["stages"])


def test_the_stage_of_results_lasts_until_the_job_says_how_it_ended() -> None:
    world = World().asking()
    world.meter_says(stage=Stage.EXPORT)
    world.visit(after=5)
    for inquiry in world.last.inquiries:
        world.cache.answered(inquiry, None)
    world.visit(after=1)
    world.job_pod("first-1", containerStatuses=[ended("driver", 0), ended("meter", 0)])
    world.visit(after=1)

    assert [stage["name"] for stage in world.last.status["stages"]] == ["preflight", "server", "run", "results"]
    assert "endTime" not in world.last.status["stages"][-1]
    assert world.ready == "StoringResults"


def test_a_meter_that_ends_and_answers_no_more_still_stores_results() -> None:
    world = World().asking()
    world.meter_says(stage=Stage.EXPORT)
    world.visit(after=5)
    for inquiry in world.last.inquiries:
        world.cache.answered(inquiry, None)
    world.visit(after=2)

    assert world.ready == "StoringResults"
    assert "endTime" not in world.last.status["stages"][-1]


def test_a_meter_that_ended_while_nobody_looked_has_stored_results() -> None:
    world = World().asking()
    world.job_pod("first-1", containerStatuses=[ended("driver", 0), ended("meter", 0)])
    world.visit(after=30)

    assert world.ready == "StoringResults"


def test_a_meter_that_fails_while_it_stores_results_is_followed_by_another_that_may_ask() -> None:
    world = World().asking()
    world.meter_says(stage=Stage.EXPORT)
    world.visit(after=5)
    world.job_pod("first-1", containerStatuses=[ended("driver", 0), ended("meter", 137)])
    world.visit(after=1)
    assert world.ready == "Retrying"
    world.pods_go()
    world.meter_says(stage=Stage.RUN)
    world.visit(after=20)

    assert world.ready == "Running"


def test_a_run_that_found_no_counter_says_at_its_end_that_it_has_no_joules() -> None:
    world = World().asking()
    world.runner_ends(0, {"summary": {"accuracy": "0.5", "counts": {"asked": 20}}})
    world.visit(after=60)

    assert world.says("Ready") == ("True", "Succeeded")
    assert world.message() == "all is asked and stored, without joules"
    assert world.says("EnergyAvailable") == ("False", "NoSensor")


def test_exporters_that_go_are_taken_out_of_the_topology() -> None:
    world = World().asking()
    world.cache.put(exporter("gpu-1", ready=False))
    world.visit()
    world.visit()

    assert world.topology()["exporters"] == []
    assert world.topology()["generation"] == 2
