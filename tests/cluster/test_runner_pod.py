"""The runner as a Job: real questions' joules by the counters of the very GPUs that its model has, whatever dies."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.containers import cpu_seconds, environment, kill, main_pid, resident_mib
from tests.cluster.exporters import CALLERS_NAMESPACE, Exporter
from tests.cluster.exporters import NAMESPACE as EXPORTERS_NAMESPACE
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.images.products import product
from tests.cluster.models import RESTING_WATTS, Model, model_server, simulator
from tests.cluster.runners import TOKEN_TEXT, Run, problems_and_token
from tests.cluster.session import Namespace
from tests.cluster.stores import ClusterStore
from tests.object_stores import CREDENTIALS

from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.preflight import PreflightReport
from joulebench_runner.errors import ExitCode
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

NODE = ["node0"]
QUESTIONS = 40


@pytest.fixture(scope="module")
def benchmarks(cluster: Cluster, exporter: Exporter) -> Iterator[Namespace]:
    """The namespace whose pods may ask the exporter."""
    assert exporter.pod
    cluster.kubectl("create", "namespace", CALLERS_NAMESPACE)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={CALLERS_NAMESPACE}")
    made = Namespace(cluster, CALLERS_NAMESPACE)
    made.apply(*problems_and_token())
    yield made
    cluster.kubectl("delete", "namespace", CALLERS_NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def models(benchmarks: Namespace, gpus_of_node: list[FakeGpu]) -> list[Model]:
    """Three model servers with two GPUs each."""
    made = product("simulator")
    benchmarks.cluster.load_image(made.archive, nodes=NODE)
    names = ("model-a", "model-b", "model-c")
    benchmarks.apply(*(simulator(name, 2, image=made.name, flags=("--words=10-40",)) for name in names))
    return [model_server(benchmarks, name, gpus_of_node) for name in names]


NewRun = Callable[..., Run]


@pytest.fixture(scope="module")
def new_run(benchmarks: Namespace, exporter: Exporter) -> NewRun:
    """Make a run of a name; the runner's image is on the node."""
    made = product("runner")
    benchmarks.cluster.load_image(made.archive, nodes=NODE)

    def new(name: str, *models: Model, **more: Any) -> Run:
        return Run(benchmarks, name, models, **{"exporters": [exporter], "image": made.name, **more})

    return new


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> ClusterStore:
    """An S3-compatible server that pods reach."""
    return ClusterStore.start(cluster)


def it_completes(run: Run) -> None:
    assert run.end() == "Complete", f"{run.words()}\n{run.summary.energy}"


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
    assert None not in {energy.queries_joules, energy.boundary_joules, energy.idle_joules, energy.foreign_joules}
    least = energy.queries_joules or 0.0
    most = least + (energy.boundary_joules or 0.0) + (energy.idle_joules or 0.0) + (energy.foreign_joules or 0.0)
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
    run.start()

    it_completes(run)
    FIGURES["runner Job created to first question (s)"] = (
        min(row["started_at"] for row in run.rows("queries")) - created
    ).total_seconds()
    everything_was_answered_once(run, questions=24)
    the_joules_are_those_of_its_gpus(run)
    the_joules_are_what_the_requests_cost(run)
    message = run.verdict
    assert (message.state, message.sensor, message.energy_incomplete) == ("completed", "nvml", False)
    assert message.summary is not None
    assert {row["server_pod"] for row in run.rows("turns")} == {"model-a"}


def test_runs_on_one_server_know_of_each_other_and_one_on_other_gpus_does_not(
    new_run: NewRun, models: list[Model]
) -> None:
    first, second, apart = (
        new_run(name, model) for name, model in (("first", models[0]), ("second", models[0]), ("apart", models[1]))
    )
    for run in (first, second, apart):
        run.prepare(questions=QUESTIONS, concurrency=2)
    exporter = first.exporters[0]
    pid = main_pid(Namespace(exporter.cluster, EXPORTERS_NAMESPACE), exporter.pod["metadata"]["name"], "exporter")
    used_seconds, began = cpu_seconds(pid), time.monotonic()
    for run in (first, second, apart):
        run.start()

    with ThreadPoolExecutor() as pool:
        list(pool.map(it_completes, (first, second, apart)))
    percent = 100 * (cpu_seconds(pid) - used_seconds) / (time.monotonic() - began)
    FIGURES["exporter's pod under three runs, 8 GPUs: CPU (% of a core)"] = percent
    FIGURES["exporter's pod under three runs, 8 GPUs: memory (MiB)"] = resident_mib(pid)
    for run in (first, second, apart):
        everything_was_answered_once(run, questions=QUESTIONS)
        the_joules_are_those_of_its_gpus(run)
    the_joules_are_what_the_requests_cost(apart)
    assert apart.summary.energy.foreign_joules == 0
    assert (first.summary.energy.foreign_joules or 0) > 0
    assert (second.summary.energy.foreign_joules or 0) > 0


# --- what the Job makes of an end -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disturbed:
    """A run whose first pod met its end in mid-run."""

    run: Run
    first_pod: str
    codes: dict[str, int]
    """Of that pod, where it was still there to be asked."""
    finished: set[str]
    """Questions whose answers were acknowledged before."""
    went_on_ns: int
    environments: dict[str, str]


def disturbed(run: Run, disturb: Callable[[str], None], *, pod_stays: bool = True) -> Disturbed:
    """Let a run answer some questions, end its pod, and wait for what the Job makes of it."""
    before = len(run.model.log())
    run.start(fetches=True)
    first = run.next_pod()
    cluster = run.namespace.cluster
    cluster.wait(lambda: len(run.model.log()) >= before + 10, what="ten answers", timeout_seconds=90)
    environments = {name: environment(run.namespace, first, name) for name in ("driver", "meter")}
    disturb(first)
    codes = run.codes(first) if pod_stays else {}
    run.next_pod(first)
    finished = read(run.folder / "journal").table(Kind.QUERY_FINISH).to_pylist()
    went_on_ns = time.monotonic_ns()
    it_completes(run)
    return Disturbed(run, first, codes, {row["query_id"] for row in finished}, went_on_ns, environments)


def evict(run: Run, pod: str) -> None:
    """What `kubectl drain` does to a pod."""
    path = f"/api/v1/namespaces/{run.namespace.name}/pods/{pod}/eviction"
    body = f'{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}"}}}}'
    run.namespace.kubectl("create", "--raw", path, "-f", "-", text=body)


@dataclass(frozen=True)
class Endings:
    """Five runs at once, each ended in another way."""

    gone_on: dict[str, Disturbed]
    wrong_task: Run
    no_server: Run


@pytest.fixture(scope="module")
def endings(new_run: NewRun, models: list[Model], store: ClusterStore) -> Endings:
    """Those that go on are each on a server of its own."""
    driver_dies, meter_dies = new_run("driver-dies", models[0], store=store), new_run("meter-dies", models[1])
    evicted = new_run("evicted", models[2])
    for run in (driver_dies, meter_dies, evicted):
        run.prepare(questions=QUESTIONS, concurrency=2, task="gsm8k")
    nobody = Model(models[0].namespace, "nobody", address="10.244.0.254", gpus=[], server="nobody", node="node0")
    wrong_task, no_server = new_run("wrong-task", models[0]), new_run("no-server", nobody)
    wrong_task.prepare(questions=4, task="gsm8q")
    no_server.prepare(questions=4)
    with ThreadPoolExecutor() as pool:
        gone_on = {
            "driver dies": pool.submit(disturbed, driver_dies, lambda pod: kill(driver_dies.namespace, pod, "driver")),
            "meter dies": pool.submit(disturbed, meter_dies, lambda pod: kill(meter_dies.namespace, pod, "meter")),
            "evicted": pool.submit(disturbed, evicted, lambda pod: evict(evicted, pod), pod_stays=False),
        }
        for run in (wrong_task, no_server):
            run.start(fetches=run is wrong_task, deadline_seconds=35)
        return Endings({name: future.result() for name, future in gone_on.items()}, wrong_task, no_server)


@pytest.mark.parametrize(
    ("ending", "codes", "failures"),
    [
        ("driver dies", {"fetch": 0, "driver": 137, "meter": ExitCode.INFRASTRUCTURE}, 1),
        ("meter dies", {"fetch": 0, "driver": ExitCode.INFRASTRUCTURE, "meter": 137}, 1),
        ("evicted", {}, 0),
    ],
)
def test_a_job_goes_on_in_a_new_pod_and_asks_nothing_twice(
    endings: Endings, ending: str, codes: dict[str, int], failures: int
) -> None:
    found = endings.gone_on[ending]
    run = found.run
    assert found.codes == codes
    assert run.job.get("failed", 0) == failures
    assert 0 < len(found.finished) < QUESTIONS
    everything_was_answered_once(run, questions=QUESTIONS)
    the_joules_are_those_of_its_gpus(run)
    later = [line for line in run.model.log() if line["arrived_ns"] > found.went_on_ns]
    assert not [line for line in later if line["query_id"] in found.finished]


def test_results_are_in_the_store_and_the_message_says_where(endings: Endings) -> None:
    run = endings.gone_on["driver dies"].run
    results = run.verdict.results
    assert results is not None
    assert results.url == "s3://bench/runs/driver-dies/summary.json"
    assert results.bytes == (run.folder / "summary.json").stat().st_size
    assert run.summary.stored is not None
    assert run.summary.stored.problem is None


def test_each_secret_is_in_one_container(endings: Endings) -> None:
    environments = endings.gone_on["driver dies"].environments
    for text, holders in ((TOKEN_TEXT, set()), (CREDENTIALS["AWS_SECRET_ACCESS_KEY"], {"meter"})):
        assert {name for name, environment in environments.items() if text in environment} == holders


def test_a_job_with_a_wrong_task_fails_at_once_and_says_what_is_wrong(endings: Endings) -> None:
    run = endings.wrong_task
    assert run.end() == "PodFailurePolicy"
    (pod,) = run.pods
    (finding,) = PreflightReport.model_validate_json(run.message(pod["metadata"]["name"], "fetch")).findings
    assert (finding.field, finding.value) == ("spec.task", "gsm8q")


def test_a_job_whose_server_never_comes_ends_by_its_deadline(endings: Endings) -> None:
    run = endings.no_server
    assert run.end() == "DeadlineExceeded"
    assert run.summary.state == "interrupted"
    assert run.rows("queries") == []
