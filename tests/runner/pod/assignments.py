"""Assignments as an operator writes them."""

from pathlib import Path
from typing import Any

from joulebench_api.contracts.assignment import AssignedServer, Assignment
from joulebench_api.contracts.energy import Domain
from joulebench_api.defaults import resolve
from joulebench_api.v1alpha1 import BenchmarkRun
from joulebench_runner.pod.places import Places

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
        role="judge" if alias == "judge" else "model",
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
