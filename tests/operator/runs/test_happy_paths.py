"""What happens, step by step, when all goes well."""

from typing import Any

from tests.operator.runs.builders import EXTERNAL, PASSED, REF, SETTINGS, SUMMARY, World, ended, run, running, server

from joulebench_api.contracts.meter import Stage
from joulebench_operator.decision import Settings


def test_a_run_of_a_template_begins_with_preflight_alone() -> None:
    world = World().started()

    assert world.children("Job") == ["first-1-preflight"]
    assert world.children("ModelServer") == []
    assert world.children("PersistentVolumeClaim") == ["first-results"]
    assert world.ready == "Validating"
    assert world.says("Validated") == ("Unknown", "Validating")
    assert world.says("Reconciling") == ("True", "Validating")


def test_a_good_preflight_lets_the_server_be_made() -> None:
    world = World().started()
    world.preflight_ends()
    world.visit()

    assert world.children("ModelServer") == ["first-model"]
    assert world.says("Validated") == ("True", "PreflightPassed")
    assert world.ready == "WaitingForServer"


def test_the_runner_comes_as_soon_as_the_server_has_a_node() -> None:
    world = World().started()
    world.preflight_ends()
    world.visit()
    assert "first-1" not in world.children("Job")
    world.server_pod("first-model")
    world.visit()

    assert world.children("Job") == ["first-1", "first-1-preflight"]
    assert world.topology()["exporters"] == [{"node": "gpu-1", "address": "10.1.0.3:9780"}]
    assert world.topology()["servers"][0]["pods"] == [{"name": "first-model-abc", "ip": "10.0.0.7", "node": "gpu-1"}]
    assert world.says("EnergyAvailable") == ("True", "SensorReady")


def test_progress_is_told_while_questions_are_asked() -> None:
    world = World().asking()

    assert world.ready == "Running"
    assert world.last.status["progress"] == {
        "completed": 4, "failed": 0, "total": 20, "percent": 20, "etaSeconds": 240, "display": "4/20",
    }  # fmt: skip
    assert world.last.progress == ("progress",)


def test_the_status_of_a_run_on_a_ready_server_is_written_when_it_began_asks_and_has_ended() -> None:
    """What is decided next follows from what was written; nothing that lasts a second is told."""
    world = World(settings=Settings(images=SETTINGS.images))
    world.cache.put(server())
    told = []

    def look() -> None:
        for _ in range(2):
            world.visit(after=1)
            told.append((world.ready, [stage["name"] for stage in world.last.status["stages"]]))

    world.started(run("first", server=REF))
    look()
    begins: dict[str, Any] = {"initContainerStatuses": [ended("preflight", 0, PASSED.as_message())]}
    world.job_pod("first-1", **begins, containerStatuses=[running("meter")])
    look()
    world.job_pod("first-1", **begins, containerStatuses=[ended("meter", 0, '{"state": "completed"}')])
    look()
    world.end_job("first-1")
    look()
    assert list(dict.fromkeys((reason, *stages) for reason, stages in told)) == [
        ("Validating", "preflight"),
        ("Running", "preflight", "run"),
        ("Succeeded", "preflight", "run"),
    ]


def test_a_run_ends_with_figures_and_without_its_server() -> None:
    world = World().asking()
    world.runner_ends(0, {"summary": SUMMARY, "results": {"sha256": "ab", "bytes": 7}, "sensor": "simulated"})
    world.visit(after=60)

    assert world.says("Succeeded") == ("True", "Succeeded")
    assert world.says("Finished") == ("True", "Succeeded")
    assert world.says("Ready") == ("True", "Succeeded")
    assert world.says("ResultsStored") == ("True", "Stored")
    assert world.says("Reconciling") is None
    assert world.last.status["summary"] == SUMMARY
    assert world.last.status["results"] == {"url": "pvc://team/first-results/first", "sha256": "ab", "bytes": 7}
    assert world.last.status["progress"]["display"] == "20/20"
    assert world.children("ModelServer") == []
    assert world.children("Job") == ["first-1", "first-1-preflight"]


def test_a_ready_server_is_asked_at_once_and_preflight_is_the_runner_s_first_step() -> None:
    world = World()
    world.cache.put(server())
    world.server_pod("llama")
    world.started(run(server=REF))

    assert world.children("Job") == ["first-1"]
    begins = world.get("Job", "first-1")["spec"]["template"]["spec"]["initContainers"]
    assert [container["name"] for container in begins] == ["preflight", "fetch"]
    assert world.ready == "Validating"

    world.job_pod(
        "first-1",
        initContainerStatuses=[ended("preflight", 0, PASSED.as_message())],
        containerStatuses=[running("meter"), running("driver")],
    )
    world.visit()
    assert world.says("Validated") == ("True", "PreflightPassed")
    assert world.ready == "Running"
    assert world.last.status["resolved"]["task"]["records"] == 20


def test_an_external_server_needs_nothing_made_and_has_no_joules() -> None:
    world = World().started(run(server=EXTERNAL))

    assert world.children("Job") == ["first-1"]
    assert world.children("ModelServer") == []
    assert world.children("ConfigMap") == ["first-1"]
    assert world.says("EnergyAvailable") == ("False", "DevicesUnknown")


def test_a_sleeping_server_is_waited_for_after_preflight() -> None:
    world = World()
    world.cache.put(server(ready=False, activation="OnDemand"))
    world.started(run(server=REF))
    assert world.children("Job") == ["first-1-preflight"]
    world.preflight_ends()
    world.visit()
    assert world.ready == "WaitingForServer"
    world.cache.put(server(activation="OnDemand"))
    world.server_pod("llama")
    world.visit()

    assert "first-1" in world.children("Job")
    assert world.get("Job", "first-1")["spec"]["template"]["spec"]["initContainers"][0]["name"] == "fetch"


def test_six_writes_make_a_run_beside_its_status() -> None:
    world = World().asking()

    assert sorted(world.made) == [
        "ConfigMap/team/first-1", "ConfigMap/team/first-1-topology", "Job/team/first-1", "Job/team/first-1-preflight",
        "ModelServer/team/first-model", "PersistentVolumeClaim/team/first-results",
    ]  # fmt: skip


def test_looking_again_changes_nothing() -> None:
    world = World().asking()
    world.made.clear()
    before = world.item
    world.visit()

    assert world.made == []
    assert world.item["status"] == before["status"]


def test_a_meter_that_writes_results_says_so() -> None:
    world = World().asking()
    world.meter_says(Stage.EXPORT, total=20, asked=20, answered=20)
    world.visit()

    assert world.ready == "StoringResults"
