"""The operator and faults: what is wrong is told by its cause, what breaks goes on, and nothing is asked twice."""

from typing import Any, Final

import pytest
from tests.cluster.benchmarks import (
    SLOW,
    SLOWER,
    Benchmark,
    Server,
    answered,
    everything_was_answered_once,
    gpus_in_use,
    made,
    model_server,
    run,
    started,
)
from tests.cluster.cluster import Cluster
from tests.cluster.containers import kill
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.installation import Installation
from tests.cluster.objects import Object, claim
from tests.cluster.session import Namespace
from tests.cluster.settings import CRDS, WORKLOAD_IMAGE
from tests.cluster.waiting import until

from joulebench_api.contracts.summary import Summary

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("installation")]

LONGEST: Final = "a-run-whose-name-is-as-long-as-a-name-may-be1"
NOBODY: Final = "http://127.0.0.1:9"
MEMORIES: Final = (("14Mi", "14Mi"), ("2Gi", "1Gi"))
"""Asked for, and the limit: too little for any engine, and less than what is asked for."""
WITHOUT_JOULES: Final = {"policy": "Disabled"}
REQUIRED: Final = {"policy": "Required", "idleBaseline": "1s"}


def named(name: str, **more: Any) -> Object:
    """A ModelServer that is there."""
    return {"modelServerRef": {"name": name}, **more}


def elsewhere(namespace: Namespace, name: str, **more: Any) -> Object:
    """A ModelServer as others would know it."""
    return {"external": {"url": f"http://{name}.{namespace.name}.svc:8000/v1", "model": "simulator", **more}}


def secret(name: str, **texts: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts}


def events_of(benchmark: Benchmark) -> list[str]:
    """The reasons of its events."""
    selector = f"--field-selector=regarding.kind=BenchmarkRun,regarding.name={benchmark.name}"
    words = ("get", "events.v1.events.k8s.io", selector, "--output=jsonpath={.items[*].reason}")
    return benchmark.namespace.kubectl(*words).split()


def running(benchmark: Benchmark, *, but: str = "") -> str:
    """The name of its runner's pod, once that runs and is not the one before."""

    def name() -> str:
        found = (pod for pod in benchmark.pods("runner") if pod["metadata"]["name"] != but)
        return next((str(pod["metadata"]["name"]) for pod in found if pod["status"].get("phase") == "Running"), "")

    return until(name, what=f"a running pod of {benchmark.name}", timeout_seconds=60)


def test_each_cause_is_said_and_what_was_missing_may_come_later(namespace: Namespace, gpus: list[FakeGpu]) -> None:
    namespace.apply(model_server("served", accelerator={"count": 0}), secret("keyless", other="x"))
    Server(namespace, "served").wait("Ready", seconds=60)
    dead_store = {"store": {"objectStore": {"url": "s3://bench/runs", "endpoint": NOBODY, "region": "us-east-1"}}}
    other_model = elsewhere(namespace, "served", model="simulater")
    causes = {
        "UnknownPreset": run("no-preset", server={"template": {"spec": {"preset": "nobody-has-it"}}}),
        "UnknownAcceleratorProfile": run("no-profile", server=made(accelerator={"profile": "nobody-has-it"})),
        "NotAllowed": run("not-allowed", server=made(image="registry.example.org/other:1")),
        "SecretUnavailable": run("no-key", server=made(apiKeySecretRef={"name": "keyless"})),
        "StoreNotWritable": run("no-store", results=dead_store),
        "EndpointUnreachable": run("other-model", server=other_model, energy=WITHOUT_JOULES),
    }
    little, no_room = ({"requests": {"memory": most}, "limits": {"memory": least}} for most, least in MEMORIES)
    of_servers = {
        "OutOfMemory": model_server("no-memory", resources=little),
        "ServerCrashed": model_server("no-engine", image=WORKLOAD_IMAGE, imagePullPolicy="Never"),
        "Refused": model_server("no-sense", resources=no_room),
        "StartupTimeout": model_server("slow", startupTimeout="5s", engineArgs={"start-delay": "60s"}),
    }
    later = run(
        "later",
        server=elsewhere(namespace, "served", apiKeySecretRef={"name": "later"}),
        results={"store": {"claim": {"name": "later"}}},
        energy=WITHOUT_JOULES,
    )
    longest, waiting = started(
        namespace, run(LONGEST, judge={"server": made(accelerator={"count": 0})}, limit=4), later
    )
    benchmarks = dict(zip(causes, started(namespace, *causes.values()), strict=True))
    namespace.apply(*of_servers.values())
    servers = {reason: Server(namespace, one["metadata"]["name"]) for reason, one in of_servers.items()}

    waiting.until("Unschedulable")
    assert '"later" not found' in waiting.message
    namespace.apply(claim("later"))
    waiting.until("SecretUnavailable")
    namespace.apply(secret("later", **{"api-key": "any"}))

    for reason, told in {**benchmarks, **servers}.items():
        told.until(reason)
    for benchmark in benchmarks.values():
        # What a first step found is said at once; that nothing better follows, when its Job has ended.
        benchmark.wait("Stalled", seconds=30)
        assert benchmark.pods("server") == []
    assert "simulator" in benchmarks["EndpointUnreachable"].message
    assert "api-key" in benchmarks["SecretUnavailable"].message
    assert "registry.example.org/other:1" in benchmarks["NotAllowed"].message
    assert "executable file not found" in servers["ServerCrashed"].message
    assert "memory limit" in servers["Refused"].message
    assert servers["StartupTimeout"].condition("Stalled")["status"] == "True"

    for benchmark, questions in ((longest, 4), (waiting, 12)):
        benchmark.wait("Succeeded")
        everything_was_answered_once(benchmark, questions=questions)
    assert events_of(longest).count("Running") == 1
    namespace.kubectl("delete", "brun,msrv", "--all", "--timeout=30s")
    until(lambda: gpus_in_use(namespace, gpus) == 0, what="GPUs that are given back", timeout_seconds=30)


def test_a_runners_pod_that_ends_before_its_time_is_followed_by_another_as_often_as_is_allowed(
    namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    goes_on, given_up = started(
        namespace,
        run("goes-on", limit=120, server=made(**SLOW)),
        run("given-up", limit=120, server=made(**SLOW), retryLimit=0),
    )
    answered(given_up)
    kill(namespace, running(given_up), "meter")
    answered(goes_on)
    first = running(goes_on)
    kill(namespace, first, "driver")
    goes_on.until("Retrying")
    given_up.until("RetryLimitExceeded")
    assert given_up.condition("Stalled")["status"] == "True"
    assert "meter with 137" in given_up.message
    assert "Retrying" not in events_of(given_up)

    before = int(goes_on.status["progress"]["completed"])
    answered(goes_on, least=before + 1)
    evict(namespace, running(goes_on, but=first))
    goes_on.wait("Succeeded")
    everything_was_answered_once(goes_on, questions=120)
    assert goes_on.summary.counts.errors == 0
    assert goes_on.status["progress"]["display"] == "120/120"
    assert namespace.get("job", "goes-on-1")["status"]["failed"] == 1
    assert [(one["number"], one["reason"]) for one in goes_on.status["attempts"]] == [(1, "Succeeded")]
    until(lambda: gpus_in_use(namespace, gpus) == 0, what="GPUs that are given back", timeout_seconds=30)


def evict(namespace: Namespace, pod: str) -> None:
    """What `kubectl drain` does to a pod."""
    path = f"/api/v1/namespaces/{namespace.name}/pods/{pod}/eviction"
    body = f'{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}"}}}}'
    namespace.kubectl("create", "--raw", path, "-f", "-", text=body)


def test_a_server_that_is_deleted_is_waited_for_and_a_run_that_is_deleted_leaves_nothing(
    namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    lent = model_server("lent", **SLOW)
    waits, goes = started(
        namespace,
        lent,
        run("waits", limit=120, server=named("lent")),
        run("goes", limit=200, server=made(**SLOW)),
    )
    answered(waits)
    answered(goes)
    namespace.kubectl("delete", "brun/goes", "msrv/lent", "--timeout=10s")
    waits.until("ServerNotFound", seconds=20)
    assert "lent" in waits.message
    until(
        lambda: not namespace.kubectl("get", "msrv,deploy,job,pod,cm,pvc", "--selector=joulebench.dev/run=goes"),
        what="the end of its children",
        timeout_seconds=60,
    )
    namespace.apply(lent)
    waits.wait("Succeeded")
    everything_was_answered_once(waits, questions=120)
    assert waits.summary.counts.errors == 0


def test_a_run_that_is_too_slow_and_one_whose_joules_are_not_all_there_end_with_what_they_have(
    namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    limits = {"run": "8s"}
    too_slow, half_blind = started(
        namespace,
        run("too-slow", limit=200, server=made(**SLOWER), timeouts=limits, energy=WITHOUT_JOULES),
        run("half-blind", limit=120, server=made(**SLOW), energy={**REQUIRED, "minCoveragePercent": 90}),
    )
    answered(too_slow)
    answered(half_blind)
    for gpu in gpus:
        gpu.get_lost()
    half_blind.until("EnergyIncomplete", seconds=90)
    half_blind.wait("Stalled")
    everything_was_answered_once(half_blind, questions=120)
    assert (half_blind.summary.energy.coverage_percent or 0) < 90
    too_slow.until("RunTimeout", seconds=90)
    too_slow.wait("Stalled")
    assert 0 < int(too_slow.status["progress"]["completed"]) < 200
    assert len(too_slow.pods("runner")) <= 1


def test_sharing_is_told_and_a_run_that_is_over_leaves_its_results_and_can_be_had_again(
    namespace: Namespace,
) -> None:
    shared = named("shared", access="Shared")
    first, second = started(
        namespace,
        model_server("shared", **SLOW),
        run("first", limit=80, server=shared, ttlAfterFinished="1s"),
        run("second", limit=80, server=shared),
    )
    for benchmark in (first, second):
        benchmark.wait("Succeeded")
        assert benchmark.summary.energy.conserved
        assert (benchmark.summary.energy.foreign_joules or 0) > 0
    until(
        lambda: not namespace.kubectl("get", "job,cm,pod", "--selector=joulebench.dev/run=first"),
        what="the end of its children",
        timeout_seconds=30,
    )
    before = first.folder
    namespace.kubectl("patch", "brun", "first", "--type=merge", "--patch", '{"spec": {"rerunToken": "again"}}')
    until(lambda: len(first.status["attempts"]) == 2, what="a second attempt", timeout_seconds=20)
    first.wait("Succeeded")
    assert first.folder != before
    everything_was_answered_once(first, questions=80)
    assert Summary.model_validate_json((before / "summary.json").read_bytes()).counts.answered == 80
    assert [(one["number"], one["reason"]) for one in first.status["attempts"]] == [(1, "Succeeded"), (2, "Succeeded")]


def test_required_joules_are_waited_for(installation: Installation, namespace: Namespace) -> None:
    try:
        installation.move_exporter(away=True)
        (benchmark,) = started(namespace, run("measured", server=made()))
        benchmark.until("NoExporter")
        assert "node0" in benchmark.message
    finally:
        installation.move_exporter(away=False)
    benchmark.wait("Succeeded")
    everything_was_answered_once(benchmark, questions=12)


def test_nothing_hangs_in_deletion_with_the_operator_or_without(
    cluster: Cluster, installation: Installation, namespace: Namespace
) -> None:
    """The last one of this file: it takes the definitions away, and brings them back."""
    attended, left = (Namespace(cluster, f"{namespace.name}-{one}") for one in ("attended", "left"))
    for one in (attended, left):
        cluster.kubectl("create", "namespace", one.name)
        one.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    left.apply(model_server("served"))
    benchmarks = [started(one, run("on", limit=200, server=made(**SLOW)))[0] for one in (attended, namespace)]
    for benchmark in benchmarks:
        answered(benchmark)
    left.kubectl("wait", "msrv/served", "--for=condition=Ready", "--timeout=60s")

    # Kubernetes itself waits for the pods of a namespace, for half of their grace, before it deletes the rest.
    cluster.kubectl("delete", "namespace", attended.name, "--wait=false")
    until(lambda: not attended.kubectl("get", "pods"), what="the end of its pods", timeout_seconds=60)
    installation.scale(0)
    cluster.kubectl("delete", "namespace", left.name, "--wait=false")
    take_definitions_away(cluster)
    nothing_is_left(namespace)
    bring_definitions_back(cluster)
    installation.scale(1)

    (again,) = started(namespace, run("again", limit=200, server=made(**SLOW)))
    again.until("WaitingForServer")
    take_definitions_away(cluster)
    nothing_is_left(namespace)
    bring_definitions_back(cluster)
    (after,) = started(namespace, run("after", limit=4))
    after.wait("Succeeded", seconds=60)
    gone = ("wait", "--for=delete", f"namespace/{attended.name}", f"namespace/{left.name}")
    cluster.kubectl(*gone, "--timeout=120s", timeout_seconds=130)


def take_definitions_away(cluster: Cluster) -> None:
    cluster.kubectl("delete", "-f", CRDS, "--timeout=60s")


def bring_definitions_back(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "-f", CRDS)
    cluster.kubectl("wait", "-f", CRDS, "--for=condition=Established", "--timeout=30s")


def nothing_is_left(namespace: Namespace) -> None:
    until(
        lambda: not namespace.kubectl("get", "deploy,job,pod,cm,pvc", "--selector=joulebench.dev/run"),
        what="the end of all children",
        timeout_seconds=60,
    )
