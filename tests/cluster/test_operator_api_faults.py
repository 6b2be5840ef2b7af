"""The operator and an API server that is away, refuses, forgets or falls silent: runs go on, nothing is done twice."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from tests.cluster.benchmarks import (
    SLOW,
    SLOWER,
    Benchmark,
    Server,
    answered,
    everything_was_answered_once,
    made,
    model_server,
    run,
    started,
    the_operator_looks_at_things,
)
from tests.cluster.cluster import Cluster
from tests.cluster.installation import NAMESPACE, Installation
from tests.cluster.session import Namespace
from tests.cluster.settings import API_PORT
from tests.cluster.storms import refusals, storm
from tests.cluster.waiting import until

from joulebench_operator.auditing import GRACE_SECONDS, ROUND_SECONDS
from joulebench_operator.kinds import WATCHED
from joulebench_operator.watching import SILENT_SECONDS

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("installation")]

AWAY_SECONDS: Final = 120.0
STORM_SECONDS: Final = 20.0
PATIENT_REQUESTS: Final = 120
"""More than what eight workers with doubling delays send in a storm, far fewer than what eager ones would."""
NOTICED_SECONDS: Final = ROUND_SECONDS + 2 * GRACE_SECONDS + 10
"""What a watch has not told is known by then, also if it happened just after a look at the API server's lists."""
KEPT_SECONDS: Final = 20.0
"""Longer than the operator keeps a connection on which it asks nothing more; watches stay."""
UNSEEN_SECONDS: Final = 10.0
"""More than an operator takes that is told of a run."""


def pass_by(seconds: float) -> None:
    """Let time pass: that of a fault."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, what="the end of a fault", timeout_seconds=seconds + 10)


def nothing_was_done_twice(benchmark: Benchmark, *, questions: int) -> None:
    """One Job of each part with one pod, and one row for each question."""
    everything_was_answered_once(benchmark, questions=questions)
    jobs = benchmark.namespace.kubectl("get", "jobs", f"--selector=joulebench.dev/run={benchmark.name}", "-oname")
    assert len(jobs.split()) == 2
    assert [len(benchmark.pods(part)) for part in ("preflight", "runner")] == [1, 1]


def test_a_storm_of_refusals_is_waited_out(cluster: Cluster, installation: Installation, namespace: Namespace) -> None:
    """429 for all that the operator asks for but its Lease; the watches that are open stay so."""
    restarts = installation.restarts()
    (going,) = started(namespace, run("going", limit=120, server=made(**SLOW)))
    answered(going)
    with storm(cluster, account="joulebench-operator", namespace=NAMESPACE):
        before = refusals(cluster)
        (late,) = started(namespace, run("late", server=made()))
        pass_by(STORM_SECONDS)
        assert late.status == {}
        assert 0 < refusals(cluster) - before < PATIENT_REQUESTS
    for benchmark, questions in ((going, 120), (late, 12)):
        benchmark.wait("Succeeded", seconds=120)
        nothing_was_done_twice(benchmark, questions=questions)
    assert installation.restarts() == restarts


def test_runs_go_on_while_the_api_server_is_away_and_what_is_finished_stays_so(
    cluster: Cluster, namespace: Namespace
) -> None:
    meanwhile, beyond, over = started(
        namespace,
        run("meanwhile", limit=160, server=made(**SLOW)),
        run("beyond", limit=120, server=made(**SLOWER)),
        run("over", limit=4, server=made()),
    )
    over.wait("Succeeded")
    for benchmark in (meanwhile, beyond):
        answered(benchmark)
        assert benchmark.reason() == "Running"
    cluster.kill("kube-apiserver")
    try:
        pass_by(AWAY_SECONDS)
    finally:
        cluster.restart("kube-apiserver")
    cluster.wait_ready()
    cluster.wait(lambda: namespace.kubectl("delete", "job", "--selector=joulebench.dev/run=over"), what="its Jobs")
    the_operator_looks_at_things(namespace)
    for benchmark, questions in ((meanwhile, 160), (beyond, 120)):
        benchmark.wait("Succeeded", seconds=120)
        nothing_was_done_twice(benchmark, questions=questions)
    assert over.reason() == "Succeeded"
    assert not namespace.kubectl("get", "job", "--selector=joulebench.dev/run=over")


@pytest.fixture(scope="module")
def alone(installation: Installation) -> Installation:
    """The operator without an election, which would end it before it has to help itself; it tells what watches do."""
    installation.add_arguments("--no-leader-elect", "--log-level=debug")
    return installation


@contextmanager
def watches_forbidden(cluster: Cluster) -> Iterator[None]:
    """The operator may do everything but watch. What it watches already goes on."""
    path = ("clusterrole", "joulebench-operator")
    rules = json.loads(cluster.kubectl("get", *path, "--output=json"))["rules"]
    fewer = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "watch"]} for rule in rules]

    def become(wanted: object) -> None:
        patch = json.dumps([{"op": "replace", "path": "/rules", "value": wanted}])
        cluster.kubectl("patch", *path, "--type=json", f"--patch={patch}")

    become(fewer)
    try:
        yield
    finally:
        become(rules)


def test_a_watch_that_is_too_old_is_begun_anew_and_what_went_meanwhile_is_noticed(
    cluster: Cluster, alone: Installation, namespace: Namespace
) -> None:
    """410 Gone: the API server has forgotten what happened since. kopf lists anew, and no list tells of a deletion."""
    restarts = alone.restarts()
    namespace.apply(model_server("served", accelerator={"count": 0}))
    Server(namespace, "served").wait("Ready", seconds=60)
    with watches_forbidden(cluster):
        cluster.kill("kube-apiserver")
        cluster.restart("kube-apiserver")
        cluster.wait_ready()
        cluster.wait(lambda: namespace.kubectl("delete", "service", "served"), what="the end of the Service")
        cluster.forget_history()
    (after,) = started(namespace, run("after", limit=4))
    after.wait("Succeeded")
    assert "Restarting the watch-stream" in alone.words()
    until(
        lambda: namespace.kubectl("get", "service", "served", "--ignore-not-found"),
        what="the Service again",
        timeout_seconds=NOTICED_SECONDS,
    )
    assert alone.restarts() == restarts


def its_watches(cluster: Cluster, address: str) -> list[int]:
    """The ports of the operator's watches, once there is one for each kind."""
    found = cluster.listeners(API_PORT, address, since_seconds=KEPT_SECONDS)
    return found if len(found) == len(WATCHED) else []


def test_watches_that_are_silently_dead_are_begun_anew(
    cluster: Cluster, installation: Installation, namespace: Namespace
) -> None:
    """No packet of its watches arrives any more, and nobody says so. All else goes through, so the operator keeps its
    Lease; what it was not told it learns where the next watch goes on, and nothing has to start anew."""
    restarts = installation.restarts()
    (pod,) = installation.operator_pods()
    address = pod["status"]["podIP"]
    ports = until(
        lambda: its_watches(cluster, address), what=f"{len(WATCHED)} watches of the operator", timeout_seconds=60
    )
    with cluster.silenced(address, ports):
        (unseen,) = started(namespace, run("unseen"))
        pass_by(UNSEEN_SECONDS)
        assert unseen.status == {}
        until(lambda: unseen.status, what="an operator that sees it", timeout_seconds=SILENT_SECONDS + 20)
        unseen.wait("Succeeded")
    nothing_was_done_twice(unseen, questions=12)
    assert installation.restarts() == restarts
