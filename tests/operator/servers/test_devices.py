"""Which devices a server's pods have: who is asked, when, and what stays of the answer."""

from dataclasses import replace
from typing import Any

from tests.operator.servers.builders import World, running, scheduled, world

from joulebench_operator.inquiry import Devices
from joulebench_operator.kinds import POD, Key

GPUS = ("GPU-1", "GPU-2")
ASKED = Devices("10.1.0.1:9780", "team", "llama-1", "uid-llama-1")


def measured(**spec: Any) -> World:
    """A server with two GPUs for each pod, and an exporter on its node."""
    here = world(parallelism={"tensor": 2}, **spec)
    here.settings = replace(here.settings, exporter_namespace="system")
    here.cache.put(exporter())
    return here


def exporter(*, ready: bool = True) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": "exporter"}
    return {
        "kind": "Pod",
        "metadata": {"name": "exporter-1", "namespace": "system", "labels": labels},
        "spec": {"nodeName": "gpu-1"},
        "status": {"podIP": "10.1.0.1", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def questions(here: World) -> list[Devices]:
    return [one for one in here.decide().inquiries if isinstance(one, Devices)]


def endpoints(here: World) -> Any:
    return here.decide().status.get("endpoints")


def test_the_exporter_on_the_pods_node_is_asked_once_the_pod_runs() -> None:
    here = measured()
    here.pod(**scheduled())
    assert questions(here) == []
    here.pod(**running())
    assert questions(here) == [ASKED]


def test_the_devices_of_a_pod_are_with_its_endpoint_and_are_not_asked_for_again() -> None:
    here = measured()
    here.pod(**running(ready=50))
    here.answer()
    assert endpoints(here) == [{"pod": "llama-1", "node": "gpu-1", "ip": "10.0.0.7"}]

    here.cache.answered(ASKED, GPUS)
    found = [{"pod": "llama-1", "node": "gpu-1", "ip": "10.0.0.7", "devices": [*GPUS]}]
    assert here.written().status["endpoints"] == found
    here.cache.forget(ASKED)
    assert (questions(here), endpoints(here)) == ([], found)


def test_another_pod_is_asked_for_anew() -> None:
    here = measured()
    here.pod(**running(ready=50))
    here.answer()
    here.cache.answered(ASKED, GPUS)
    here.written()
    here.cache.remove(Key(POD.name, "team", "llama-1"))
    here.pod("llama-2", **running(ready=80))
    here.answer()
    assert questions(here) == [replace(ASKED, pod="llama-2", pod_uid="uid-llama-2")]
    assert endpoints(here) == [{"pod": "llama-2", "node": "gpu-1", "ip": "10.0.0.7"}]


def test_an_exporter_that_knows_nothing_holds_nobody_up() -> None:
    here = measured()
    here.pod(**running(ready=50))
    here.answer()
    here.cache.answered(ASKED, ())
    assert endpoints(here) == [{"pod": "llama-1", "node": "gpu-1", "ip": "10.0.0.7"}]
    assert here.decide().status["readyReplicas"] == 1


def test_nobody_is_asked_without_an_exporter_that_is_ready_on_the_node() -> None:
    here = measured()
    here.pod(**running(), spec={"nodeName": "gpu-2"})
    assert questions(here) == []
    here.pod(**running())
    here.cache.put(exporter(ready=False))
    assert questions(here) == []


def test_a_server_on_the_cpu_has_no_devices_of_its_own() -> None:
    here = measured(accelerator={"count": 0})
    here.pod(**running())
    assert questions(here) == []


def test_no_more_devices_are_told_than_a_status_can_hold() -> None:
    here = measured()
    here.pod(**running(ready=50))
    here.answer()
    here.cache.answered(ASKED, tuple(f"MIG-{number:03}" for number in range(100)))
    assert len(endpoints(here)[0]["devices"]) == 64
