"""The runner as a Job: real questions' joules by the counters of the very GPUs that its model has, whatever dies."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.containers import cpu_seconds, environment, kill, main_pid, resident_mib
from tests.cluster.exporters import CALLERS_NAMESPACE, Exporter
from tests.cluster.exporters import NAMESPACE as EXPORTERS_NAMESPACE
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.images import store as store_images
from tests.cluster.images.products import product
from tests.cluster.models import RESTING_WATTS, Model, model_server, simulator
from tests.cluster.objects import claim, deployment
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
SHARED_QUESTIONS = 160
"""Sixteen seconds: so long that runs which start together overlap, however differently their pods come up."""


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
        run.prepare(questions=SHARED_QUESTIONS, concurrency=2)
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
        everything_was_answered_once(run, questions=SHARED_QUESTIONS)
        the_joules_are_those_of_its_gpus(run)
    assert in_common_seconds(first, second) > 0, "they did not overlap, so nothing can be said"
    the_joules_are_what_the_requests_cost(apart)
    assert apart.summary.energy.foreign_joules == 0
    assert (first.summary.energy.foreign_joules or 0) > 0
    assert (second.summary.energy.foreign_joules or 0) > 0


def in_common_seconds(*runs: Run) -> float:
    """For how long all of them began questions; negative: how far they were apart."""
    asked = [run.rows("queries") for run in runs]
    begin = max(min(row["started_at"] for row in rows) for rows in asked)
    end = min(max(row["started_at"] for row in rows) for rows in asked)
    return float((end - begin).total_seconds())


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


# --- two nodes, and what may happen to them ---------------------------------------------------------------------------

FAR_CLOCK_SECONDS = 5000
CUT_SECONDS = 30
STORM_QUESTIONS = 330
UNHURRIED = ("--words=120-160", "--speed=0.3")
"""An answer takes 0.7 s, so half of the questions are still to be asked after the cut: the far pod is Ready again, and
asked, only 3 to 8 s later."""
CONCURRENCY = 4
IN_NO_HURRY = {"tolerationSeconds": 300, "operator": "Exists", "effect": "NoExecute"}
"""What Kubernetes gives pods by default, and this cluster does not: a pod of a lost node is not deleted at once."""


@pytest.fixture(scope="module")
def far_node(cluster: Cluster, exporter: Exporter) -> Iterator[str]:
    """A second node, with two GPUs and an exporter whose clock is far ahead of the first one's."""
    name = cluster.add_node(images=[store_images.pause(), product("simulator").archive])
    cluster.add_gpus(node=name, count=2)
    deployed = Exporter.deploy(cluster, node=name, boot_offset_seconds=FAR_CLOCK_SECONDS)
    yield name
    deployed.stop()
    cluster.kubectl("delete", "pod", "pair-far", f"--namespace={CALLERS_NAMESPACE}", "--now", "--ignore-not-found")
    cluster.remove_gpus(name)
    cluster.remove_node(name)


@dataclass(frozen=True)
class Pair:
    """Two replicas of one server on two nodes. The near one comes again when it is killed, with the same account."""

    namespace: Namespace
    far: Model

    def near(self, *, but: str = "") -> str:
        """The pod of the near one that stays; empty while there is none, or only that one."""
        select = ("--selector=app=pair", "--field-selector=spec.nodeName=node0", "--output=json")
        found = json.loads(self.namespace.kubectl("get", "pods", *select))["items"]
        names = (one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"])
        return next((name for name in names if name != but), "")

    def near_log(self) -> list[dict[str, Any]]:
        """Requests that the near one has ended."""
        text = (self.namespace.claimed("pair-log") / "requests.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def pair(benchmarks: Namespace, models: list[Model], far_node: str) -> Pair:
    image, flags = product("simulator").name, UNHURRIED
    here, there = ({"kubernetes.io/hostname": node} for node in ("node0", far_node))
    log = {"persistentVolumeClaim": {"claimName": "pair-log"}}
    near = simulator("pair", 2, image=image, flags=flags, log=log, nodeSelector=here)["spec"]
    stays = [{"key": f"node.kubernetes.io/{why}", **IN_NO_HURRY} for why in ("unreachable", "not-ready")]
    far = simulator("pair-far", 2, image=image, flags=flags, server="pair", tolerations=stays, nodeSelector=there)
    benchmarks.apply(claim("pair-log"), deployment("pair", spec={**near, "restartPolicy": "Always"}), far)
    benchmarks.available("pair")
    return Pair(benchmarks, model_server(benchmarks, "pair-far", benchmarks.cluster.gpus(far_node)))


@dataclass(frozen=True)
class Storm:
    """A run under which everything happened."""

    run: Run
    pair: Pair
    near_pods: list[str]
    lost: str
    """The GPU of the far node that was lost in the end."""


@pytest.fixture(scope="module")
def storm(cluster: Cluster, new_run: NewRun, exporter: Exporter, pair: Pair, gpus_of_node: list[FakeGpu]) -> Storm:
    """Far node cut for 30 s; meanwhile the near node's exporter and model server are killed; then a far GPU is lost."""
    far = pair.far
    near = model_server(pair.namespace, pair.near(), gpus_of_node)
    run = new_run("storm", near, far, exporters=[exporter, Exporter(cluster, far.node)])
    run.prepare(questions=STORM_QUESTIONS, concurrency=CONCURRENCY, policy="Preferred")
    run.start()
    cluster.wait(lambda: min(len(pair.near_log()), len(far.log())) >= 5, what="answers of both", timeout_seconds=90)

    cluster.cut_node(far.node)
    mended_at = time.monotonic() + CUT_SECONDS
    try:
        exporter.replace()
        run.tell(run.topology(generation=1))
        cluster.wait(lambda: len(exporters_of(run, near)) == 2, what="ticks of the new exporter")
        kill(pair.namespace, near.name, "main")
        pair.namespace.kubectl("delete", "pod", near.name, "--now")
        following = cluster.wait(lambda: pair.near(but=near.name), what="the next model server")
        again = model_server(pair.namespace, following, gpus_of_node)
        run.tell(replace(run, models=[near, again, far]).topology(generation=2))
        answered = len(pair.near_log())
        cluster.wait(lambda: len(pair.near_log()) > answered, what="an answer of the new server")
        cluster.wait(lambda: time.monotonic() > mended_at, what="the end of the cut")
    finally:
        cluster.mend_node(far.node)
    mended_ns = time.monotonic_ns()
    cluster.wait(lambda: any(line["arrived_ns"] > mended_ns for line in far.log()), what="a question to the far server")
    far.gpus[0].get_lost()
    try:
        it_completes(run)
    finally:
        far.gpus[0].recover()
    cluster.wait(lambda: cluster.node_ready(far.node), what="the far node to be back")
    return Storm(run, pair, [near.name, again.name], far.gpus[0].uuid)


def exporters_of(run: Run, model: Model) -> set[str]:
    """Those that have told ticks of a server's GPUs."""
    own = {gpu.uuid for gpu in model.gpus}
    ticks = read(run.folder / "journal").table(Kind.TICKS).to_pylist()
    return {row["exporter"] for row in ticks if row["device"] in own}


def test_replicas_are_told_apart_by_pod_and_each_is_billed_by_its_own_nodes_gpus(storm: Storm) -> None:
    turns = [row for row in storm.run.rows("turns") if row["query_id"] is not None]
    assert {row["server_pod"] for row in turns} == {*storm.near_pods, "pair-far"}
    energy = storm.run.summary.energy
    assert (energy.conserved, energy.problem) == (True, None)
    own = {gpu.uuid for gpu in storm.pair.far.gpus}
    assert own < {one.device for one in energy.devices}
    assert all(one.queries_joules > 0 for one in energy.devices)


def test_clocks_of_nodes_are_aligned_within_their_bound(storm: Storm) -> None:
    provenance = json.loads((storm.run.folder / "provenance.json").read_text())
    clocks = {one["device"]: one for one in provenance["energy"]["clocks"]}
    far = clocks[storm.pair.far.gpus[1].uuid]
    assert far["bound_ns"] < 50_000_000
    assert abs(far["offset_ns"] - FAR_CLOCK_SECONDS * 10**9) <= far["bound_ns"]
    FIGURES["bound of the clocks of two nodes (ms)"] = far["bound_ns"] / 1e6


def test_a_cut_loses_no_tick_and_what_is_lost_is_stated(storm: Storm) -> None:
    energy = storm.run.summary.energy
    coverage = {one.device: one.coverage_percent for one in energy.devices}
    _, well = (gpu.uuid for gpu in storm.pair.far.gpus)
    assert coverage[well] > 99
    assert coverage[storm.lost] < coverage[well]
    near = [percent for uuid, percent in coverage.items() if uuid not in {well, storm.lost}]
    assert min(near) < 99
    assert energy.coverage_percent is not None
    assert energy.coverage_percent < 99
