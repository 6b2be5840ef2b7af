"""Assignments as an operator writes them, and the node and the processes that they are about."""

from pathlib import Path
from typing import Any

from joulebench_api.contracts.assignment import AssignedServer, Assignment
from joulebench_api.contracts.device_file import DeviceFileReader
from joulebench_api.contracts.energy import Domain
from joulebench_api.defaults import resolve
from joulebench_api.v1alpha1 import BenchmarkRun
from joulebench_runner.pod.places import Places

AT, POD = "127.0.0.1", "llama-7d9f8c-bcdfg"
SERVER = AssignedServer(
    alias="model", role="model", model="simulator", engine="Simulator", health_path="/health", metrics_path="/metrics"
)


def run(name: str = "nightly", **spec: Any) -> BenchmarkRun:
    """A run with defaults filled in: four questions of `everyday` to a ModelServer."""
    known = {"server": {"modelServerRef": {"name": "llama"}}, "task": {"name": "everyday", "limit": 4}}
    document = {"metadata": {"name": name, "namespace": "team"}, "spec": known | spec}
    return resolve(BenchmarkRun.model_validate(document))


def assignment(*, spec: dict[str, Any] | None = None, **more: Any) -> Assignment:
    """The first attempt of such a run; `spec` goes before, `more` are fields of the assignment."""
    known: dict[str, Any] = {
        "run_id": "0b6f6c5e-0f5c-4c1c-9d0e-0f4f5b9a7f11",
        "attempt": 1,
        "run": run(**(spec or {})),
        "servers": [SERVER],
        "domains": [Domain.GPU],
        "folder": "team/nightly",
    }
    return Assignment(**(known | more))


def external(url: str, *, model: str = "simulator", key_variable: str | None = None, alias: str = "model") -> Any:
    """A server that others run, as it stands in an assignment."""
    return AssignedServer(
        alias=alias,
        role="judge" if alias == "judge" else "model" if alias == "model" else "submodel",
        model=model,
        url=url,
        routing="Service",
        key_variable=key_variable,
        measured=False,
    )


def write(assigned: Assignment, root: Path) -> Places:
    """Mount it in a pod whose root is a folder."""
    places = Places(root)
    places.make()
    places.results.mkdir(parents=True, exist_ok=True)
    places.assignment.parent.mkdir(parents=True, exist_ok=True)
    places.assignment.write_text(assigned.model_dump_json())
    return places


async def start(place: Any, part: str, places: Places, **env: str) -> Any:
    """One of the containers, as a process."""
    return await place.ground.start(part, "-m", "joulebench_runner.pod", part, "--root", places.root, env=env)


async def node(place: Any) -> dict[str, Any]:
    """A node with one server and its exporter; where they are, as the topology has it."""
    await place.ground.simulator(host=AT, port=place.port, device_file=place.device(POD), device_id=POD)
    reader = DeviceFileReader(place.device(POD))
    kubelet = await place.kubelet()
    kubelet.owners = {("team", POD): [str(reader.identity.uuid)]}
    reader.close()
    address = f"unix:{place.sockets}/e.sock"
    await place.ground.exporter(address, devices=[place.device(POD)], pod_resources=kubelet.target)
    server = {"alias": "model", "url": f"http://llama.team.svc:{place.port}/v1", "model": "simulator"}
    pods = {"headless_service": AT, "port": place.port, "namespace": "team", "pods": [{"name": POD, "ip": AT}]}
    return {"servers": [server | pods], "exporters": [{"node": "node-1", "address": address}], "audience": "a"}
