"""The runner as a pod: real questions' joules by the counters of the very GPUs that its model has."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from tests.cluster import cgroups
from tests.cluster.cluster import Cluster
from tests.cluster.exporters import CALLERS_NAMESPACE, Exporter
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.images.products import product
from tests.cluster.models import RESTING_WATTS, Model, model_server, simulator
from tests.cluster.runners import Run
from tests.cluster.session import Namespace

from joulebench_api.contracts.energy import SensorKind
from joulebench_runner.errors import ExitCode
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

NODE = ["node0"]


@pytest.fixture(scope="module")
def benchmarks(cluster: Cluster, exporter: Exporter) -> Iterator[Namespace]:
    """The namespace whose pods may ask the exporter."""
    assert exporter.pod
    cluster.kubectl("create", "namespace", CALLERS_NAMESPACE)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={CALLERS_NAMESPACE}")
    yield Namespace(cluster, CALLERS_NAMESPACE)
    cluster.kubectl("delete", "namespace", CALLERS_NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def models(benchmarks: Namespace, gpus_of_node: list[FakeGpu]) -> list[Model]:
    """Two model servers with two GPUs each."""
    made = product("simulator")
    benchmarks.cluster.load_image(made.archive, nodes=NODE)
    for name in ("model-a", "model-b"):
        benchmarks.apply(simulator(name, 2, image=made.name, flags=("--words=10-40",)))
    return [model_server(benchmarks, name, gpus_of_node) for name in ("model-a", "model-b")]


NewRun = Callable[[str, Model], Run]


@pytest.fixture(scope="module")
def new_run(benchmarks: Namespace, exporter: Exporter) -> NewRun:
    """Make a run of a name; the runner's image is on the node."""
    made = product("runner")
    benchmarks.cluster.load_image(made.archive, nodes=NODE)
    return partial(Run, benchmarks, exporter=exporter, image=made.name)


def the_joules_are_those_of_its_gpus(run: Run) -> None:
    """Every millijoule of the run is from the counters of its model's GPUs, and all of them are accounted for."""
    energy, own = run.summary.energy, {gpu.uuid for gpu in run.model.gpus}
    assert (energy.kind, energy.sensor, energy.conserved, energy.problem) == (SensorKind.SIMULATED, "nvml", True, None)
    assert {gpu.device for gpu in run.summary.gpus} == own
    ticks = run.rows("energy")
    assert {tick["device"] for tick in ticks} == own


def the_joules_are_what_the_requests_cost(run: Run) -> None:
    """By the server's own account, which knows the truth; the ticks at the ends of the run are the boundary's."""
    energy, calls = run.summary.energy, {row["call_id"] for row in run.rows("turns")}
    cost_joules = sum(line["energy_mj"] for line in run.model.log() if line["call_id"] in calls) / 1000
    assert cost_joules > 10
    assert None not in {energy.queries_joules, energy.boundary_joules, energy.idle_joules}
    least = energy.queries_joules or 0.0
    most = least + (energy.boundary_joules or 0.0) + (energy.idle_joules or 0.0)
    resting = RESTING_WATTS * len(run.model.gpus) * 60
    assert least - resting <= cost_joules <= most + resting
    assert least > 0.8 * cost_joules


def everything_was_answered_once(run: Run, *, questions: int) -> None:
    asked = Counter((row["record_id"], row["epoch"]) for row in run.rows("queries"))
    assert (len(asked), set(asked.values())) == (questions, {1})
    assert run.summary.counts.answered == questions


def test_a_runs_joules_are_those_of_its_models_two_gpus(new_run: NewRun, models: list[Model]) -> None:
    run = new_run("alone", models[0])
    run.prepare(questions=24)
    created = datetime.now(UTC)
    run.start("alone")

    assert run.end("alone") == {"driver": 0, "meter": 0}, run.words("alone")
    FIGURES["runner pod created to first question (s)"] = (
        min(row["started_at"] for row in run.rows("queries")) - created
    ).total_seconds()
    everything_was_answered_once(run, questions=24)
    the_joules_are_those_of_its_gpus(run)
    the_joules_are_what_the_requests_cost(run)
    message = run.message("alone")
    assert (message.state, message.sensor, message.energy_incomplete) == ("completed", "nvml", False)
    assert message.summary is not None
    assert {row["server_pod"] for row in run.rows("turns")} == {"model-a"}


def test_two_runs_on_four_gpus_do_not_see_each_other(new_run: NewRun, models: list[Model]) -> None:
    runs = [new_run(f"both-{model.name}", model) for model in models]
    for run in runs:
        run.prepare(questions=16)
        run.start(run.name)

    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda run: run.end(run.name), runs))
    assert ends == [{"driver": 0, "meter": 0}] * 2
    for run in runs:
        everything_was_answered_once(run, questions=16)
        the_joules_are_those_of_its_gpus(run)
        the_joules_are_what_the_requests_cost(run)
        assert run.summary.energy.foreign_joules == 0


def test_a_run_whose_driver_is_killed_goes_on_in_a_new_pod_and_asks_nothing_twice(
    cluster: Cluster, new_run: NewRun, models: list[Model]
) -> None:
    run = new_run("killed", models[1])
    run.prepare(questions=40, concurrency=2)
    run.start("killed-1")
    before = len(run.model.log())
    cluster.wait(lambda: len(run.model.log()) >= before + 10, what="ten answers", timeout_seconds=60)
    kill(cluster, run.namespace, "killed-1", "driver")

    assert run.end("killed-1") == {"driver": 128 + signal.SIGKILL, "meter": ExitCode.INFRASTRUCTURE}
    finished = read(run.folder / "journal").table(Kind.QUERY_FINISH).to_pylist()
    assert 0 < len(finished) < 40
    went_on_ns = time.monotonic_ns()
    run.start("killed-2")

    assert run.end("killed-2") == {"driver": 0, "meter": 0}, run.words("killed-2")
    everything_was_answered_once(run, questions=40)
    the_joules_are_those_of_its_gpus(run)
    done = {row["query_id"] for row in finished}
    assert not [line for line in run.model.log() if line["arrived_ns"] > went_on_ns and line["query_id"] in done]


def kill(cluster: Cluster, namespace: Namespace, pod: str, container: str) -> None:
    """SIGKILL the first process of a container."""
    statuses = namespace.get("pod", pod)["status"]["containerStatuses"]
    (identity,) = (one["containerID"].partition("://")[2] for one in statuses if one["name"] == container)
    pids = [pid for pid in cgroups.pids(cluster.layout.group) if identity in Path(f"/proc/{pid}/cgroup").read_text()]
    os.kill(min(pids), signal.SIGKILL)
