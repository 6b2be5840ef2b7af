"""The operator, installed with the chart: `kubectl apply` ends in results, whatever happens on the way."""

from collections import Counter

import pytest
import yaml
from tests.cluster.benchmarks import (
    SLOW,
    Benchmark,
    Server,
    everything_was_answered_once,
    example,
    gpus_in_use,
    guide_blocks,
    made,
    model_server,
    pods,
    run,
    simulator,
    started,
)
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.installation import Installation
from tests.cluster.session import Namespace
from tests.cluster.waiting import until

from joulebench_api.contracts.energy import SensorKind
from joulebench_simulator import __version__

pytestmark = pytest.mark.usefixtures("installation")

ABSENT = {"name": "helper", "server": {"modelServerRef": {"name": "absent"}}}


def nothing_is_held(benchmark: Benchmark, gpus: list[FakeGpu]) -> None:
    until(lambda: gpus_in_use(benchmark.namespace, gpus) == 0, what="GPUs that are given back", timeout_seconds=30)


def test_a_run_that_is_applied_ends_in_results_with_the_joules_of_its_own_gpus(
    namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    (benchmark,) = started(namespace, example("simulator"))
    server = Server(namespace, f"{benchmark.name}-model")
    devices = until(server.devices, what="the devices of the server's pod", timeout_seconds=60)
    benchmark.wait("Succeeded")

    status, summary = benchmark.status, benchmark.summary
    assert (status["summary"]["conserved"], status["summary"]["energyKind"]) == (True, "Simulated")
    assert status["resolved"]["server"]["engineVersion"] == __version__
    assert status["summary"]["counts"] == {
        "asked": 24,
        "answered": 24,
        "correct": summary.counts.correct,
        "incorrect": 24 - summary.counts.correct,
        "unscored": 0,
        "errors": 0,
    }
    assert float(status["summary"]["joulesTotal"]) == pytest.approx(summary.energy.total_joules, rel=1e-3)
    assert (summary.energy.kind, summary.energy.sensor, summary.energy.conserved) == (
        SensorKind.SIMULATED,
        "nvml",
        True,
    )
    own = {gpu.device for gpu in summary.gpus}
    assert len(own) == 2
    assert own < {gpu.uuid for gpu in gpus}
    assert {row["device"] for row in benchmark.rows("energy")} == own
    everything_was_answered_once(benchmark, questions=24)
    nothing_is_held(benchmark, gpus)
    assert set(devices) == own
    columns = namespace.kubectl("get", "brun").splitlines()
    assert columns[0].split() == ["NAME", "MODEL", "TASK", "STATUS", "PROGRESS", "ACCURACY", "J/CORRECT", "AGE"]
    assert columns[1].split()[:5] == ["simulated", "simulator", "everyday", "Succeeded", "24/24"]


def test_the_guides_task_asks_its_submodel_and_each_has_the_joules_of_its_own_gpu(
    namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    item = yaml.safe_load(guide_blocks("submodels.md", "yaml")[-1])
    item["spec"] |= {"warmup": {"queries": 0}, "energy": {"policy": "Required", "idleBaseline": "1s"}}
    for source in (item["spec"], *item["spec"]["submodels"]):
        source["server"] = made()
    (task,) = guide_blocks("submodels.md", "python")
    tasks = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tasks"}, "data": {"hinted.py": task}}
    waiting, benchmark = started(namespace, run("waits", submodels=[ABSENT]), tasks, item)
    servers = {alias: Server(namespace, f"hinted-{alias}") for alias in ("model", "helper")}
    own = {
        alias: until(server.devices, what=f"the device of {alias}", timeout_seconds=60)
        for alias, server in servers.items()
    }
    benchmark.wait("Succeeded")

    summary, status = benchmark.summary, benchmark.status
    assert (summary.counts.answered, summary.energy.conserved) == (4, True)
    everything_was_answered_once(benchmark, questions=4)
    # Two GPUs, one for each, and nothing of the one's calls on the other's.
    by_device = {device.device: device.queries_joules for device in summary.energy.devices}
    by_alias = {use.alias: use.energy_joules for use in summary.models}
    assert by_alias == {alias: by_device[device] for alias, (device,) in own.items()}
    assert len(by_device) == 2
    assert min(by_device.values()) > 0
    calls = benchmark.rows("turns")
    assert Counter((call["alias"], call["role"]) for call in calls) == {
        ("model", "model"): 4,
        ("helper", "submodel"): 4,
    }
    for row in benchmark.rows("queries"):
        assert row["energy_mj"] == sum(call["energy_mj"] for call in calls if call["query_id"] == row["query_id"])
    (resolved,) = status["resolved"]["submodels"]
    assert (resolved["name"], resolved["engineVersion"]) == ("helper", __version__)
    assert "hinted-helper" in resolved["url"]
    nothing_is_held(benchmark, gpus)

    assert waiting.reason() == "ServerNotFound"
    assert "spec.submodels[0].server.modelServerRef.name: there is no ModelServer absent" in waiting.message
    namespace.kubectl("delete", "brun", "hinted", "waits", "--timeout=10s")
    left = ("get", "msrv,deploy,svc,job,pod,cm,pvc", "--selector=joulebench.dev/run=hinted")
    until(lambda: not namespace.kubectl(*left), what="the end of all that the run made", timeout_seconds=60)


def test_a_real_model_on_the_cpu_answers_and_its_run_says_that_it_has_no_joules(namespace: Namespace) -> None:
    """The exporter of this cluster sees GPUs alone; policy Preferred goes on without."""
    (benchmark,) = started(namespace, example("llamacpp", task={"limit": 8}, energy={"idleBaseline": "1s"}))
    benchmark.wait("Succeeded", seconds=120)
    summary = benchmark.summary
    assert (summary.counts.asked, summary.counts.errors) == (8, 0)
    assert all(row["output_tokens"] > 0 for row in benchmark.rows("queries"))
    assert summary.energy.total_joules is None
    assert benchmark.condition("EnergyAvailable")["status"] != "True"
    # The build of llama.cpp in the image does not know its own number.
    assert "engineVersion" not in benchmark.status["resolved"]["server"]


def test_two_runs_at_once_do_not_see_each_others_joules(namespace: Namespace) -> None:
    benchmarks = started(namespace, run("one"), run("two"))
    for benchmark in benchmarks:
        benchmark.wait("Succeeded")
    devices = [{gpu.device for gpu in benchmark.summary.gpus} for benchmark in benchmarks]
    assert [len(own) for own in devices] == [1, 1]
    assert not devices[0] & devices[1]
    assert [benchmark.summary.energy.foreign_joules for benchmark in benchmarks] == [0, 0]


def test_two_runs_on_one_server_take_turns(namespace: Namespace) -> None:
    shared = {"modelServerRef": {"name": "shared"}}
    first, second = started(
        namespace, model_server("shared", **SLOW), run("first", server=shared), run("second", server=shared)
    )
    until(lambda: "ServerBusy" in {first.reason(), second.reason()}, what="one that waits", timeout_seconds=30)
    waiting, going = (first, second) if first.reason() == "ServerBusy" else (second, first)
    assert waiting.pods("runner") == []
    assert going.name in waiting.condition("Ready")["message"]
    going.wait("Succeeded")
    waiting.wait("Succeeded")
    for benchmark in (first, second):
        everything_was_answered_once(benchmark, questions=12)
        assert benchmark.summary.energy.foreign_joules == 0
    assert len(pods(namespace, "joulebench.dev/server=shared")) == 1


def test_a_killed_operator_repeats_nothing_and_a_restarted_one_writes_nothing(
    installation: Installation, namespace: Namespace
) -> None:
    (benchmark,) = started(namespace, run("goes-on", limit=24, server={"template": {"spec": simulator(**SLOW)}}))
    for reason in ("Validating", "WaitingForServer", "Running"):
        benchmark.until(reason)
        installation.kill_operator()
    benchmark.wait("Succeeded")
    everything_was_answered_once(benchmark, questions=24)
    assert len(benchmark.pods("runner")) == 1
    assert len(benchmark.pods("preflight")) == 1

    installation.kill_operator()
    installation.kubectl("rollout", "status", "deployment/joulebench-operator", "--timeout=60s")
    leads = ("leader_election_master_status", 'name="joulebench-operator"')
    until(lambda: installation.metrics().get(leads) == 1, what="an operator that leads", timeout_seconds=30)
    visits = "controller_runtime_reconcile_total"
    until(lambda: any(name == visits for name, _ in installation.metrics()), what="a first visit", timeout_seconds=30)
    assert installation.writes() == 0


def test_what_was_deleted_while_the_operator_was_away_is_gone_with_its_children(
    installation: Installation, namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    (benchmark,) = started(namespace, run("deleted", limit=200, server={"template": {"spec": simulator(**SLOW)}}))
    benchmark.until("Running")
    installation.scale(0)
    namespace.kubectl("delete", "brun", "deleted", "--timeout=10s")
    until(
        lambda: not namespace.kubectl("get", "msrv,deploy,job,pod,cm,pvc", "--selector=joulebench.dev/run=deleted"),
        what="the end of its children",
        timeout_seconds=60,
    )
    nothing_is_held(benchmark, gpus)
    installation.scale(1)


def test_suspend_gives_the_gpus_back_and_resuming_goes_on(namespace: Namespace, gpus: list[FakeGpu]) -> None:
    (benchmark,) = started(namespace, run("paused", limit=60, server={"template": {"spec": simulator(**SLOW)}}))
    until(lambda: int(benchmark.status.get("progress", {}).get("completed", 0)) > 0, what="answers", timeout_seconds=60)
    namespace.kubectl("patch", "brun", "paused", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    benchmark.until("Suspended")
    nothing_is_held(benchmark, gpus)
    namespace.kubectl("patch", "brun", "paused", "--type=merge", "--patch", '{"spec": {"suspend": false}}')
    benchmark.wait("Succeeded", seconds=120)
    everything_was_answered_once(benchmark, questions=60)


def test_what_is_wrong_is_said_by_its_cause_and_no_gpu_is_asked_for_before_preflight(namespace: Namespace) -> None:
    template = {"template": {"spec": simulator(image="localhost/absent:1", imagePullPolicy="Never")}}
    wrong = {
        "UnknownTask": run("unknown-task", task={"name": "gsm9k"}),
        "ServerNotFound": run("no-server", server={"modelServerRef": {"name": "absent"}}),
        "Unschedulable": run("too-many", server={"template": {"spec": simulator(gpus=64)}}),
        "ImagePullFailed": run("no-image", server=template),
        "InvalidSpec": run("bad-flag", server={"template": {"spec": simulator(engineArgs={"no-such-flag": 1})}}),
    }
    benchmarks = dict(zip(wrong, started(namespace, *wrong.values()), strict=True))
    for reason, benchmark in benchmarks.items():
        benchmark.until(reason)
    unknown = benchmarks["UnknownTask"]
    assert "gsm8k" in unknown.condition("Ready")["message"]
    assert unknown.condition("Stalled")["status"] == "True"
    assert unknown.pods("server") == []
    assert "nvidia.com/gpu" in benchmarks["Unschedulable"].condition("Ready")["message"]


def test_drift_is_mended_and_what_belongs_to_others_is_left_alone(namespace: Namespace) -> None:
    namespace.apply(model_server("mended"), model_server("taken"))
    namespace.kubectl("wait", "msrv/mended", "--for=condition=Ready", "--timeout=60s")
    namespace.kubectl("scale", "deployment/mended", "--replicas=3")
    until(
        lambda: namespace.get("deployment", "mended")["spec"]["replicas"] == 1, what="one replica", timeout_seconds=20
    )
    namespace.kubectl("delete", "service", "mended")
    again = ("get", "service", "mended", "--ignore-not-found", "--output=name")
    until(lambda: namespace.kubectl(*again), what="the service again", timeout_seconds=20)


def test_what_belongs_to_others_is_left_alone(namespace: Namespace) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"}, "spec": {"ports": [{"port": 1}]}}
    namespace.apply(theirs)
    namespace.apply(model_server("taken"))
    Server(namespace, "taken").until("NameTaken", seconds=20)
    assert namespace.get("service", "taken")["spec"]["ports"][0]["port"] == 1


def test_the_other_replica_goes_on_when_the_leader_is_killed(installation: Installation, namespace: Namespace) -> None:
    installation.scale(2)

    def leaders() -> list[str]:
        lead = ("leader_election_master_status", 'name="joulebench-operator"')
        return [
            str(pod["metadata"]["name"])
            for pod in installation.operator_pods()
            if installation.metrics(pod).get(lead) == 1
        ]

    until(lambda: len(leaders()) == 1, what="a leader", timeout_seconds=30)
    (leader,) = leaders()
    installation.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
    (benchmark,) = started(namespace, run("after"))
    benchmark.until("Validating", seconds=20)
    installation.scale(1)
    benchmark.wait("Succeeded")
    FIGURES["operators' memory (MiB)"] = max(
        value / 2**20 for (name, _), value in installation.metrics().items() if name == "process_resident_memory_bytes"
    )
