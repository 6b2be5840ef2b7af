"""A table of situations and what a run says of itself in each."""

import json
from typing import Any

import pytest
from tests.operator.runs.builders import (
    EXTERNAL,
    REF,
    SUMMARY,
    TEMPLATE,
    World,
    ended,
    exporter,
    finding,
    run,
    running,
    server,
    waiting,
)

from joulebench_api.configuration import OperatorConfiguration
from joulebench_operator.decision import Settings
from joulebench_operator.kinds import Key

REQUIRED = {"policy": "Required"}


# --- what is refused ---


@pytest.mark.parametrize(
    ("spec", "configuration", "reason", "says"),
    [
        ({"task": {"name": "a b"}}, {}, "InvalidSpec", "spec.task.name"),
        ({"server": EXTERNAL}, {"policy": {"externalEndpoints": "Deny"}}, "NotAllowed", "spec.server.external"),
        ({"runner": {"image": "x/y:1"}}, {"policy": {"images": ["ours/*"]}}, "NotAllowed", "spec.runner.image"),
        ({"runner": {"serviceAccountName": "boss"}}, {}, "NotAllowed", "spec.runner.serviceAccountName"),
        (
            {"server": {"template": {"spec": {"engine": "Simulator", "model": "m", "serviceAccountName": "boss"}}}},
            {},
            "NotAllowed",
            "spec.server.template.spec.serviceAccountName",
        ),
        (
            {"server": {"template": {"spec": {"engine": "Simulator", "preset": "nix"}}}},
            {},
            "UnknownPreset",
            "spec.server.template.spec.preset: 'nix' is not a preset",
        ),
        (
            {"results": {"store": {"claim": {"name": "c", "path": "../other"}}}},
            {},
            "InvalidSpec",
            "spec.results.store.claim.path",
        ),
        (
            {"task": {"name": "everyday", "source": {"claim": {"name": "c", "path": "a/../.."}}}},
            {},
            "InvalidSpec",
            "spec.task.source.claim.path",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_told_with_its_field(
    spec: dict[str, Any], configuration: dict[str, Any], reason: str, says: str
) -> None:
    world = World(configuration=OperatorConfiguration.model_validate(configuration)).started(run(**spec))

    assert world.says("Ready") == ("False", reason)
    assert world.says("Stalled") == ("True", reason)
    assert world.says("Succeeded") == ("Unknown", reason)
    assert world.says("Finished") == ("False", reason)
    assert says in world.message()
    assert world.made == []


def test_without_a_runner_s_image_nothing_is_started() -> None:
    world = World(settings=Settings(images={"Simulator": "s"})).started()

    assert world.ready == "InvalidSpec"
    assert "spec.runner.image" in world.message()


def test_a_run_that_is_no_longer_allowed_keeps_what_it_has() -> None:
    world = World().asking(run(server=TEMPLATE, runner={"image": "x/y:1"}))
    there = world.children("Job") + world.children("ModelServer")
    world.configuration = OperatorConfiguration.model_validate({"policy": {"images": []}})
    world.visit()

    assert world.ready == "NotAllowed"
    assert world.children("Job") + world.children("ModelServer") == there


# --- preflight ---


def test_a_finding_ends_the_run_before_anything_takes_an_accelerator() -> None:
    world = World().started()
    world.preflight_ends(finding())
    world.visit(after=5)

    assert world.says("Validated") == ("False", "UnknownTask")
    assert world.says("Succeeded") == ("False", "UnknownTask")
    assert world.says("Finished") == ("True", "UnknownTask")
    assert world.says("Stalled") == ("True", "UnknownTask")
    assert world.message() == "spec.task.name: 'evryday': no task of that name; did you mean everyday?"
    assert not [made for made in world.made if "ModelServer" in made]


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("CreateContainerConfigError", 'secret "openai" not found', "SecretUnavailable"),
        ("CreateContainerConfigError", "couldn't find key api-key in Secret team/openai", "SecretUnavailable"),
        ("ImagePullBackOff", "Back-off pulling image", "ImagePullFailed"),
        ("ErrImagePull", "not found", "ImagePullFailed"),
    ],
)
def test_a_preflight_that_cannot_start_says_why_at_once_and_goes_on_when_it_can(
    reason: str, message: str, expected: str
) -> None:
    world = World().started()
    world.job_pod("first-1-preflight", containerStatuses=[waiting("preflight", reason, message)])
    world.visit()

    assert world.says("Validated") == ("False", expected)
    assert world.says("Stalled") == ("True", expected)
    assert message in world.message()
    assert world.says("Finished") == ("False", expected)

    world.preflight_ends()
    world.visit()
    assert world.says("Validated") == ("True", "PreflightPassed")


def test_a_preflight_whose_time_is_over_keeps_the_reason_why_it_could_not_start() -> None:
    world = World().started()
    world.job_pod("first-1-preflight", containerStatuses=[waiting("preflight", "ErrImagePull", "no such image")])
    world.visit()
    world.end_job("first-1-preflight", failed="DeadlineExceeded")
    world.visit(after=20)

    assert world.says("Finished") == ("True", "ImagePullFailed")


def test_a_preflight_without_a_report_names_the_log_to_read() -> None:
    world = World().started()
    world.job_pod("first-1-preflight", containerStatuses=[ended("preflight", 1, "Traceback")])
    world.end_job("first-1-preflight", failed="BackoffLimitExceeded")
    world.visit(after=20)

    assert world.says("Succeeded") == ("False", "PreflightFailed")
    assert "pod first-1-preflight-1" in world.message()


def test_a_preflight_without_a_report_is_told_by_the_last_lines_of_its_log() -> None:
    world = World().started()
    world.job_pod("first-1-preflight", containerStatuses=[ended("preflight", 1)])
    world.end_job("first-1-preflight", failed="BackoffLimitExceeded")
    world.visit(after=1)
    assert world.says("Finished") == ("False", "PreflightFailed")
    (log,) = world.last.inquiries
    world.cache.answered(log, "Traceback\nKeyError: 'x'")
    world.visit()

    assert world.says("Finished") == ("True", "PreflightFailed")
    assert world.message().endswith("its last lines: Traceback KeyError: 'x'")


def test_a_meter_that_left_no_message_is_told_by_the_last_lines_of_its_log() -> None:
    world = World().asking()
    world.runner_ends(1)
    world.visit(after=1)
    assert world.says("Finished") == ("False", "StoringResults")
    (log,) = world.last.inquiries
    world.cache.answered(log, "x" * 400 + " MemoryError")
    world.visit()

    assert world.says("Succeeded") == ("False", "RunFailed")
    assert "meter with 1" in world.message()
    assert world.message().endswith("xxx MemoryError")


def test_a_report_that_comes_after_its_job_s_end_is_waited_for() -> None:
    world = World().started()
    world.job_pod("first-1-preflight")
    world.end_job("first-1-preflight")
    world.visit(after=1)
    assert world.ready == "Validating"
    assert world.last.again_after_seconds is not None
    world.preflight_ends()
    world.visit(after=1)

    assert world.says("Validated") == ("True", "PreflightPassed")


def test_findings_of_a_first_step_end_the_run_too() -> None:
    world = World().started(run(server=EXTERNAL))
    world.job_pod("first-1", initContainerStatuses=[ended("preflight", 2, finding().as_message())])
    world.visit()
    assert world.says("Validated") == ("False", "UnknownTask")
    world.end_job("first-1", failed="PodFailurePolicy")
    world.visit()

    assert world.says("Finished") == ("True", "UnknownTask")


# --- servers ---


def test_a_server_that_is_not_there_is_waited_for_and_named() -> None:
    world = World().started(run(server=REF))

    assert world.says("Ready") == ("False", "ServerNotFound")
    assert world.says("ServerReady") == ("False", "ServerNotFound")
    assert world.says("Reconciling") == ("True", "ServerNotFound")
    assert "modelServerRef.name: there is no ModelServer llama" in world.message()
    assert world.made == []

    world.cache.put(server())
    world.server_pod("llama")
    world.visit()
    assert world.ready == "Validating"


def test_a_judge_that_is_not_there_is_waited_for_before_anything_is_made() -> None:
    world = World().started(run(judge={"server": REF}))

    assert world.ready == "ServerNotFound"
    assert "spec.judge.server.modelServerRef.name" in world.message()
    assert world.made == []


def _server_says(world: World, reason: str, *, stalled: bool) -> None:
    world.preflight_ends()
    world.visit()
    types = ["Ready", *(["Stalled"] if stalled else ["Reconciling"])]
    said = [
        {"type": kind, "status": str(kind != "Ready"), "reason": reason, "message": "pod x: its own words"}
        for kind in types
    ]
    world.cache.put({**world.get("ModelServer", "first-model"), "status": {"conditions": said}})
    world.visit()


def test_the_steps_of_a_server_on_its_way_are_not_written_again_for_the_run() -> None:
    world = World().started()
    world.preflight_ends()
    world.visit()
    said = []
    for words in ("looks for a node", "pulls its image", "loads the model"):
        ready = {"type": "Ready", "status": "False", "reason": "Starting", "message": words}
        world.cache.put({**world.get("ModelServer", "first-model"), "status": {"conditions": [ready]}})
        world.visit()
        said.append(world.item["status"])

    assert said[0] == said[1] == said[2]
    assert world.message() == "ModelServer first-model is not ready: Starting"


@pytest.mark.parametrize("reason", ["Unschedulable", "ImagePullFailed", "ServerCrashed"])
def test_a_server_that_may_come_yet_is_quoted(reason: str) -> None:
    world = World().started()
    _server_says(world, reason, stalled=False)

    assert world.says("Ready") == ("False", reason)
    assert world.says("Reconciling") == ("True", reason)
    assert world.says("ServerReady") == ("False", reason)
    assert world.message() == "ModelServer first-model: pod x: its own words"


@pytest.mark.parametrize("reason", ["InvalidSpec", "OutOfMemory", "StartupTimeout", "ModelUnavailable"])
def test_a_server_that_fails_for_good_ends_the_run_that_made_it(reason: str) -> None:
    world = World().started()
    _server_says(world, reason, stalled=True)

    assert world.says("Succeeded") == ("False", reason)
    assert world.says("Finished") == ("True", reason)
    assert world.says("ServerReady") == ("False", reason)
    assert world.children("ModelServer") == []


@pytest.mark.parametrize("reason", ["NotAllowed", "NameTaken", "Refused", "NovelReason"])
def test_a_server_that_somebody_can_help_is_waited_for(reason: str) -> None:
    world = World().started()
    _server_says(world, reason, stalled=True)

    assert world.says("Finished") is not None
    assert world.says("Stalled") is not None
    assert world.children("ModelServer") == ["first-model"]


def test_a_server_that_does_not_come_is_given_back_when_its_time_is_over() -> None:
    world = World().started(run(timeouts={"serverReady": "10m"}))
    world.preflight_ends()
    world.visit(after=10)
    world.visit(after=1)
    assert world.last.again_after_seconds == pytest.approx(599)
    world.visit(after=601)

    assert world.says("Succeeded") == ("False", "ServerReadyTimeout")
    assert world.children("ModelServer") == []
    assert world.message().startswith("the servers were not ready within spec.timeouts.serverReady (10m)")


def test_a_server_deleted_under_a_run_is_told_and_the_runner_is_let_be() -> None:
    world = World()
    world.cache.put(server())
    world.server_pod("llama")
    world.started(run(server=REF))
    world.meter_says()
    world.visit()
    world.cache.put({**server(), "metadata": {**server()["metadata"], "deletionTimestamp": "2026-01-31T12:00:00Z"}})
    world.visit()

    assert world.ready == "ServerNotFound"
    assert world.children("Job") == ["first-1"]


# --- energy ---


def test_required_energy_waits_for_an_exporter_on_the_server_s_node() -> None:
    world = World().started(run(energy=REQUIRED))
    world.cache.put(exporter("gpu-9", ready=False))
    world.preflight_ends()
    world.visit()
    world.servers_answer(node="gpu-9")
    world.visit()

    assert world.says("EnergyAvailable") == ("False", "NoExporter")
    assert world.says("Ready") == ("False", "NoExporter")
    assert world.says("Reconciling") == ("True", "NoExporter")
    assert "gpu-9" in world.message()
    assert "first-1" not in world.children("Job")

    world.cache.put(exporter("gpu-9"))
    world.visit()
    assert "first-1" in world.children("Job")
    assert world.topology()["exporters"] == [{"node": "gpu-9", "address": "10.1.0.3:9780"}]


def test_required_energy_that_does_not_come_ends_the_run_with_the_reason() -> None:
    world = World().started(run(energy=REQUIRED))
    world.preflight_ends()
    world.visit()
    world.servers_answer(node="gpu-9")
    world.visit()
    world.visit(after=3700)

    assert world.says("Succeeded") == ("False", "NoExporter")
    assert world.children("ModelServer") == []


def test_preferred_energy_goes_on_without_an_exporter_and_says_so() -> None:
    world = World().started()
    world.preflight_ends()
    world.visit()
    world.servers_answer(node="gpu-9")
    world.visit()

    assert "first-1" in world.children("Job")
    assert world.says("EnergyAvailable") == ("False", "NoExporter")


def test_an_exporter_that_comes_later_is_told_to_the_runner() -> None:
    world = World().started()
    world.preflight_ends()
    world.visit()
    world.servers_answer(node="gpu-9")
    world.visit()
    assert (world.topology()["generation"], world.topology()["exporters"]) == (1, [])
    world.cache.put(exporter("gpu-9"))
    world.visit()
    world.visit()

    assert world.topology()["generation"] == 2
    assert world.topology()["exporters"][0]["node"] == "gpu-9"


def test_without_energy_the_runner_comes_with_the_server() -> None:
    world = World().started(run(energy={"policy": "Disabled"}))
    world.preflight_ends()
    world.visit()

    assert "first-1" in world.children("Job")
    assert world.says("EnergyAvailable") == ("False", "Disabled")


@pytest.mark.parametrize(
    ("energy", "says"),
    [
        ({"kind": "measured", "joules": 5.0}, ("True", "SensorReady")),
        ({"kind": "measured", "joules": 5.0, "problem": "one of two is away"}, ("True", "SensorReady")),
        ({"kind": "modelled", "joules": 5.0, "sensor": "modelled"}, ("True", "Modelled")),
        ({"problem": "the exporter measures CPU; wanted is GPU"}, ("False", "NoSensor")),
    ],
)
def test_what_the_meter_measures_is_told_while_it_measures(energy: dict[str, Any], says: tuple[str, str]) -> None:
    world = World().asking()
    world.meter_says(energy=energy)
    world.visit()

    assert world.says("EnergyAvailable") == says


# --- turns ---


def test_runs_on_one_server_take_turns_the_oldest_first() -> None:
    first = World()
    first.cache.put(server())
    first.server_pod("llama")
    first.cache.put(run("second", server=REF, made=1))
    first.started(run("first", server=REF, made=0))
    second = World("second", cache=first.cache)
    second.visit()

    assert first.children("Job") == ["first-1"]
    assert second.ready == "ServerBusy"
    assert second.message() == "BenchmarkRun first has the ModelServer llama"
    assert second.children("Job") == []

    first.runner_ends()
    first.visit(after=30)
    second.visit()
    assert second.children("Job") == ["second-1"]


@pytest.mark.parametrize(("ours", "theirs", "waits"), [(1, 1, False), (1, 0, True), (0, 1, True), (0, 0, True)])
def test_a_server_is_shared_only_by_runs_that_all_share(ours: int, theirs: int, waits: bool) -> None:
    access = ["Exclusive", "Shared"]
    first = World()
    first.cache.put(server())
    first.server_pod("llama")
    first.started(run("first", server={**REF, "access": access[theirs]}))
    first.cache.put(run("second", server={**REF, "access": access[ours]}, made=1))
    second = World("second", cache=first.cache)
    second.visit()

    assert (second.ready == "ServerBusy") is waits


def test_who_has_the_server_keeps_it_though_an_older_run_comes_back() -> None:
    younger = World("younger")
    younger.cache.put(server())
    younger.server_pod("llama")
    younger.started(run("younger", server=REF, made=5))
    younger.cache.put(run("older", server=REF, made=1))
    older = World("older", cache=younger.cache)
    older.visit()
    younger.visit()

    assert older.ready == "ServerBusy"
    assert younger.ready != "ServerBusy"


def test_a_run_that_is_stuck_keeps_nobody_waiting() -> None:
    stuck = World("stuck")
    stuck.cache.put(server())
    stuck.server_pod("llama")
    stuck.started(run("stuck", server=REF, results={"store": {"claim": {"name": "c", "path": "../other"}}}))
    stuck.cache.put(run("second", server=REF, made=1))
    second = World("second", cache=stuck.cache)
    second.visit()

    assert second.children("Job") == ["second-1"]


def test_a_run_whose_judge_is_not_there_keeps_nobody_waiting() -> None:
    lacking = World("lacking")
    lacking.cache.put(server())
    lacking.server_pod("llama")
    absent = {"server": {"modelServerRef": {"name": "absent"}}}
    lacking.started(run("lacking", server=REF, judge=absent))
    assert lacking.ready == "ServerNotFound"
    lacking.cache.put(run("second", server=REF, made=1))
    second = World("second", cache=lacking.cache)
    second.visit()

    assert second.children("Job") == ["second-1"]


# --- the end ---


@pytest.mark.parametrize(
    ("code", "words", "failed", "reason"),
    [
        (1, {"state": "failed", "message": "the disk is full", "remedy": "free it"}, None, "RunFailed"),
        (1, None, None, "RunFailed"),
        (2, {"state": "failed", "message": "wrong"}, None, "RunFailed"),
        (3, {"energy_incomplete": True}, None, "EnergyIncomplete"),
        (3, {"state": "error-limit", "message": "more than 5% failed"}, None, "ErrorLimitExceeded"),
        (75, None, "BackoffLimitExceeded", "RetryLimitExceeded"),
        (130, {"state": "interrupted"}, "DeadlineExceeded", "RunTimeout"),
    ],
)
def test_how_a_run_fails(code: int, words: dict[str, Any] | None, failed: str | None, reason: str) -> None:
    world = World().asking()
    world.runner_ends(code, words, failed=failed)
    world.visit(after=30)

    assert world.says("Succeeded") == ("False", reason)
    assert world.says("Finished") == ("True", reason)
    assert world.says("Ready") == ("False", reason)
    assert world.says("Stalled") == ("True", reason)
    assert world.children("ModelServer") == []
    if words is not None and "message" in words:
        assert words["message"] in world.message()


def test_results_that_did_not_reach_their_store_are_told() -> None:
    store = {"store": {"objectStore": {"url": "s3://bench/runs"}}}
    world = World().asking(run(results=store))
    world.runner_ends(3, {"message": "the bucket is not there"})
    world.visit(after=30)

    assert world.says("Succeeded") == ("False", "UploadFailed")
    assert world.says("ResultsStored") == ("False", "UploadFailed")


def test_a_first_step_that_finds_no_data_says_so() -> None:
    world = World().asking()
    said = finding("DatasetUnavailable").as_message()
    world.job_pod("first-1", initContainerStatuses=[ended("fetch", 2, said)])
    world.end_job("first-1", failed="PodFailurePolicy")
    world.visit(after=30)

    assert world.says("Succeeded") == ("False", "DatasetUnavailable")


def test_a_hub_that_stays_away_is_told_rather_than_how_often_it_was_asked() -> None:
    world = World().asking()
    said = finding("DatasetUnavailable").as_message()
    world.job_pod("first-1", initContainerStatuses=[ended("fetch", 75, said)])
    world.end_job("first-1", failed="BackoffLimitExceeded")
    world.visit(after=30)

    assert world.says("Succeeded") == ("False", "DatasetUnavailable")


def test_a_pod_that_failed_is_followed_by_another() -> None:
    world = World().asking()
    world.job_pod("first-1", containerStatuses=[ended("meter", 75)])
    job = world.get("Job", "first-1")
    world.cache.put({**job, "status": {"failed": 1}})
    world.visit()

    assert world.ready == "Retrying"
    assert world.children("ModelServer") == ["first-model"]


DISRUPTED: dict[str, Any] = {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.parametrize(
    ("retry_limit", "code", "job_status", "pod_status", "says"),
    [
        (0, 137, {}, {}, "StoringResults"),
        (1, 137, {}, {}, "Retrying"),
        (1, 137, {"failed": 2}, {}, "StoringResults"),
        (1, 137, {"conditions": [{"type": "FailureTarget", "status": "True"}]}, {}, "StoringResults"),
        (3, 3, {}, {}, "StoringResults"),
        (0, 137, {}, DISRUPTED, "Retrying"),
        (0, 130, {}, {}, "Retrying"),
    ],
    ids=["none allowed", "one allowed", "all used", "given up", "final", "evicted", "asked to end"],
)
def test_a_retry_is_told_only_where_one_follows(
    retry_limit: int, code: int, job_status: dict[str, Any], pod_status: dict[str, Any], says: str
) -> None:
    world = World().asking(run(retryLimit=retry_limit))
    world.job_pod("first-1", containerStatuses=[ended("meter", code), running("driver")], **pod_status)
    world.cache.put({**world.get("Job", "first-1"), "status": job_status})
    world.visit(after=1)

    assert world.ready == says
    assert world.says("Finished") == ("False", says)


def test_each_pod_that_failed_is_a_try_before_its_job_counts_it() -> None:
    world = World().asking(run(retryLimit=1))
    first = world.job_pod("first-1", containerStatuses=[ended("meter", 137)])
    world.cache.put({**first, "metadata": {**first["metadata"], "name": "first-1-0"}})
    world.cache.put({**world.get("Job", "first-1"), "status": {"failed": 1}})
    world.seconds += 30
    world.job_pod("first-1", containerStatuses=[ended("meter", 137)])
    world.visit(after=1)

    assert world.ready == "StoringResults"


def test_what_a_pod_said_that_is_followed_by_another_is_no_end_of_the_run() -> None:
    world = World().asking()
    said = json.dumps({"state": "interrupted", "summary": {"counts": {"asked": 5, "answered": 5}}})
    first = world.job_pod("first-1", containerStatuses=[ended("meter", 75, said)])
    world.visit()
    world.cache.put({**first, "metadata": {**first["metadata"], "name": "first-1-0"}})
    world.seconds += 30
    world.meter_says(total=20, asked=12, answered=12)
    world.visit()
    assert "summary" not in world.last.status
    assert world.last.status["progress"]["display"] == "12/20"

    world.job_pod(
        "first-1", containerStatuses=[ended("meter", 0, json.dumps({"state": "completed", "summary": SUMMARY}))]
    )
    world.visit()
    # It was being evicted, so it is gone before the Job's end is heard of.
    world.cache.remove(Key("Pod", "team", "first-1-1"))
    world.visit()
    world.end_job("first-1")
    world.visit(after=60)

    assert world.ready == "Succeeded"
    assert world.last.status["summary"]["counts"]["asked"] == 20
    assert world.last.status["progress"]["display"] == "20/20"


def test_the_meter_s_last_words_are_waited_for_after_its_job_s_end() -> None:
    world = World().asking()
    world.end_job("first-1")
    world.visit(after=1)
    assert world.ready == "StoringResults"
    assert world.says("Finished") == ("False", "StoringResults")
    assert world.children("ModelServer") == ["first-model"]
    world.visit(after=60)

    assert world.says("Finished") == ("True", "Succeeded")


def test_figures_that_do_not_fit_are_left_out_and_the_others_are_kept() -> None:
    world = World().asking()
    world.runner_ends(0, {"summary": {"accuracy": "0.5", "costPerCorrect": "1" * 40, "newFigure": "7"}})
    world.visit(after=30)

    assert world.last.status["summary"] == {"accuracy": "0.5"}
