"""Submodels: servers of a run like the one under test, each under its name."""

import json

import pytest
from tests.operator.runs.builders import EXTERNAL, REF, SUMMARY, TEMPLATE, World, exporter, run, server

from joulebench_operator.kinds import POD, Key
from joulebench_operator.objects import Object

HELPER: Object = {"name": "helper", "server": TEMPLATE}
NAMED: Object = {"name": "helper", "server": REF}
FAR: Object = {
    "external": {**EXTERNAL["external"], "apiKeySecretRef": {"name": "far"}, "headersSecretRef": {"name": "gateway"}}
}


def assignment(world: World) -> Object:
    """As the runner reads it."""
    told: Object = json.loads(world.get("ConfigMap", "first-1")["data"]["assignment.json"])
    return told


def test_its_server_is_made_waited_for_told_and_removed_like_the_models() -> None:
    world = World().started(run(submodels=[HELPER]))
    assert world.children("ModelServer") == []
    world.preflight_ends()
    world.visit()
    assert world.children("ModelServer") == ["first-helper", "first-model"]
    assert world.ready == "WaitingForServer"

    world.server_pod("first-model", node="gpu-1")
    world.visit()
    # It is not told of the exporters before all pods have a node.
    assert world.children("Job") == ["first-1-preflight"]
    assert "spec.submodels[0].server" in world.message("EnergyAvailable")
    world.server_pod("first-helper", node="gpu-2")
    world.visit()
    assert world.children("Job") == ["first-1", "first-1-preflight"]
    told = world.topology()
    assert [(one["alias"], one["deployment"], [pod["node"] for pod in one["pods"]]) for one in told["servers"]] == [
        ("model", "first-model", ["gpu-1"]),
        ("helper", "first-helper", ["gpu-2"]),
    ]
    assert [one["node"] for one in told["exporters"]] == ["gpu-1", "gpu-2"]
    assert [(one["alias"], one["role"]) for one in assignment(world)["servers"]] == [
        ("model", "model"),
        ("helper", "submodel"),
    ]

    world.servers_answer()
    world.visit()
    resolved = world.last.status["resolved"]
    assert resolved["submodels"] == [{"name": "helper", **resolved["server"], "url": resolved["submodels"][0]["url"]}]
    assert "first-helper" in resolved["submodels"][0]["url"]

    world.meter_says(total=20, asked=5, answered=4)
    world.runner_ends(words={"summary": SUMMARY})
    world.visit()
    assert world.ready == "Succeeded"
    assert world.children("ModelServer") == []
    assert world.last.status["resolved"]["submodels"][0]["name"] == "helper"


def test_one_that_is_not_there_is_waited_for_before_anything_is_made() -> None:
    world = World().started(run(submodels=[HELPER | {"name": "other"}, NAMED]))
    assert world.ready == "ServerNotFound"
    assert "spec.submodels[1].server.modelServerRef.name: there is no ModelServer llama" in world.message()
    assert world.made == []

    world.cache.put(server())
    world.server_pod("llama")
    world.visit()
    assert world.ready == "Validating"


def test_one_that_is_not_ready_is_named() -> None:
    world = World()
    world.cache.put(server("big"))
    world.server_pod("big")
    world.cache.put(server("llama", ready=False))
    world.started(run(server={"modelServerRef": {"name": "big"}}, submodels=[NAMED]))
    world.preflight_ends()
    world.visit()
    assert world.ready == "WaitingForServer"
    assert "llama" in world.message("ServerReady")


def test_one_that_fails_for_good_ends_the_run_and_frees_the_models_server() -> None:
    world = World().started(run(submodels=[HELPER]))
    world.preflight_ends()
    world.visit()
    said = [
        {"type": kind, "status": status, "reason": "OutOfMemory", "message": "pod x: its own words"}
        for kind, status in (("Ready", "False"), ("Stalled", "True"))
    ]
    world.cache.put({**world.get("ModelServer", "first-helper"), "status": {"conditions": said}})
    world.visit()
    assert world.ready == "OutOfMemory"
    assert "ModelServer first-helper" in world.message()
    world.visit()
    assert world.children("ModelServer") == []


def test_its_template_is_checked_by_its_field() -> None:
    wrong = {"template": {"spec": {"engine": "Simulator", "preset": "nix"}}}
    world = World().started(run(submodels=[HELPER, {"name": "wrong", "server": wrong}]))
    assert world.ready == "UnknownPreset"
    assert "spec.submodels[1].server.template.spec.preset: 'nix' is not a preset" in world.message()


def test_its_key_and_headers_are_variables_of_the_meter_alone() -> None:
    world = World().started(
        run(server=EXTERNAL, submodels=[{"name": "far-away", "server": FAR}], energy={"policy": "Disabled"})
    )
    [_, told] = assignment(world)["servers"]
    assert (told["alias"], told["role"], told["url"]) == ("far-away", "submodel", EXTERNAL["external"]["url"])
    assert (told["key_variable"], told["measured"]) == ("JOULEBENCH_KEY_FAR_AWAY", False)
    pod = world.get("Job", "first-1")["spec"]["template"]["spec"]
    variables = {
        container["name"]: {
            one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one
        }
        for container in (*pod["initContainers"], *pod["containers"])
        if container["name"] in {"meter", "driver", "preflight"}
    }
    wanted = {
        "JOULEBENCH_KEY_FAR_AWAY": {"name": "far", "key": "api-key"},
        "JOULEBENCH_HEADERS_FAR_AWAY": {"name": "gateway", "key": "headers"},
    }
    assert variables == {"preflight": wanted, "meter": wanted, "driver": {}}
    assert world.last.status["resolved"]["submodels"] == [
        {"name": "far-away", "model": "qwen", "url": EXTERNAL["external"]["url"]}
    ]


def test_joules_that_are_required_need_an_exporter_where_the_submodel_runs() -> None:
    world = World().started(run(submodels=[HELPER], energy={"policy": "Required"}))
    world.cache.remove(Key(POD.name, "joulebench-system", "exporter-gpu-2"))
    world.preflight_ends()
    world.visit()
    world.server_pod("first-model", node="gpu-1")
    world.server_pod("first-helper", node="gpu-2")
    world.visit()
    assert world.says("EnergyAvailable") == ("False", "NoExporter")
    assert "gpu-2" in world.message("EnergyAvailable")
    world.cache.put(exporter("gpu-2"))
    world.visit()
    assert "first-1" in world.children("Job")


@pytest.mark.parametrize(("policy", "begins"), [("Required", False), ("Preferred", True)])
def test_joules_that_are_required_need_a_submodel_whose_devices_are_known(policy: str, *, begins: bool) -> None:
    world = World().started(run(submodels=[{"name": "far", "server": EXTERNAL}], energy={"policy": policy}))
    world.preflight_ends()
    world.visit()
    world.servers_answer()
    world.visit()
    assert ("first-1" in world.children("Job")) is begins
    if not begins:
        assert world.says("EnergyAvailable") == ("False", "DevicesUnknown")
        assert "the devices behind spec.submodels[0].server.external are not known" in world.message("EnergyAvailable")
        world.visit(after=3601)
        assert world.ready == "DevicesUnknown"


@pytest.mark.parametrize(("access", "waits"), [("Exclusive", True), ("Shared", False)])
def test_runs_take_turns_on_a_submodels_server_too(access: str, *, waits: bool) -> None:
    source = {**REF, "access": access}
    first = World("first")
    first.cache.put(server())
    first.server_pod("llama")
    first.started(run("first", submodels=[{"name": "helper", "server": source}]))
    first.cache.put(run("second", server=source, made=1))
    second = World("second", cache=first.cache)
    second.visit()
    assert (second.ready == "ServerBusy") is waits


def test_its_queue_is_the_runs() -> None:
    world = World().started(run(submodels=[HELPER], queue={"name": "gpus"}))
    world.preflight_ends()
    world.visit()
    assert world.get("ModelServer", "first-helper")["spec"]["queue"] == {"name": "gpus"}
