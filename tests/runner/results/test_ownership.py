"""Whose devices count, on a cluster: those that pods of the run's own servers have, and while they have them.

Every device draws 100 W; the measured window is 1 s to 11 s. Exporters tell owners with their first ticks.
"""

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.topology import Topology
from joulebench_runner.attribution.core import Segments
from joulebench_runner.attribution.foreign import gap_segments
from joulebench_runner.journal.schema import Kind
from joulebench_runner.ownership import OwnPods, is_pod_of
from joulebench_runner.results.ownership import ALWAYS_NS, Told, held

Run = Any  # the builder of conftest.py
SECOND = 1_000_000_000
A, B, OTHER = "llama-7d9f8c-bcdfg", "llama-7d9f8c-hjklm", "stranger-0"
ADDRESSES = {A: "10.0.0.1", B: "10.0.0.2"}


def topology(**more: Any) -> dict[str, Any]:
    server = {"alias": "model", "url": "http://llama/v1", "model": "tiny", "namespace": "team", "port": 8000}
    return {"servers": [server | {"deployment": "llama"} | more], "exporters": []}


def with_topology(run: Run, **more: Any) -> Run:
    return run.add(Kind.TOPOLOGY, 0, json=json.dumps(topology(**more)))


def owners(run: Run, at: float, device: str, *pods: str, known: bool = True, **more: Any) -> Run:
    values = {
        "exporter": "exporter-1",
        "device": device,
        "time_ns": round(at * SECOND),
        "known": known,
        "namespaces": ["team"] * len(pods),
        "pods": list(pods),
        "containers": ["server"] * len(pods),
        "partitions": [""] * len(pods),
    }
    return run.add(Kind.OWNERS, at, **(values | more))


@pytest.fixture
def gpus(empty: Run, settings: Any) -> Any:
    """`gpus("g0", "g1")`: such devices, and results of their domain."""

    def make(*devices: str) -> Run:
        empty.plan().stage("baseline", 0.2, 0.8).stage("run", 1, 11)
        for device in devices:
            empty.device(device, domain="GPU", scope="Board").ticks(device)
        return empty

    return make


@pytest.fixture
def energy(settings: Any) -> Any:
    """The summary's energy, of accelerators."""
    return lambda run: run.results(settings=settings(domains=[Domain.GPU])).summary.energy


def test_a_device_of_another_pod_is_not_this_runs(gpus: Any, energy: Any, settings: Any) -> None:
    run = with_topology(gpus("g0", "g1"))
    owners(run, 0.1, "g0", A)
    owners(run, 0.1, "g1", OTHER)
    run.begin("q1").call("q1", 2, 6).finish("q1")
    found = energy(run)
    assert [device.device for device in found.devices] == ["g0"]
    assert (found.total_joules, found.queries_joules, found.idle_joules) == (1000.0, 400.0, 600.0)
    assert found.conserved
    assert found.coverage_percent == pytest.approx(100)
    results = run.results(settings=settings(domains=[Domain.GPU]))
    assert set(results.tables["energy.parquet"]["device"].to_pylist()) == {"g0"}
    assert [one.device for one in results.summary.gpus] == ["g0"]
    assert [one["device"] for one in results.provenance["energy"]["devices"]] == ["g0"]


def test_the_same_name_in_another_namespace_is_a_stranger(gpus: Any, energy: Any) -> None:
    run = with_topology(gpus("g0"))
    owners(run, 0.1, "g0", A, namespaces=["elsewhere"])
    run.begin("q1").call("q1", 2, 6).finish("q1")
    assert energy(run).problem == "no device was given to a pod of this run's servers"


def test_a_device_that_changes_hands_counts_only_while_it_is_ours(gpus: Any, energy: Any) -> None:
    run = with_topology(gpus("g0"))
    owners(run, 0.1, "g0", A)
    owners(run, 5, "g0", OTHER)
    owners(run, 8, "g0", B)
    run.begin("q1").call("q1", 2, 4).finish("q1")
    found = energy(run)
    assert found.total_joules == 700.0
    assert (found.queries_joules, found.idle_joules, found.boundary_joules) == (200.0, 500.0, 0.0)
    assert found.conserved
    # For three seconds of ten the run had no device.
    assert found.coverage_percent == pytest.approx(70)
    assert found.mean_watts == pytest.approx(100)


def test_a_call_while_the_device_was_anothers_has_no_known_energy(gpus: Any, energy: Any, settings: Any) -> None:
    run = with_topology(gpus("g0"))
    owners(run, 0.1, "g0", A)
    owners(run, 5, "g0", OTHER)
    run.begin("q1").call("q1", 2, 4).finish("q1").begin("q2").call("q2", 6, 8).finish("q2")
    assert run.row("q1", settings=settings(domains=[Domain.GPU]))["energy_joules"] == 200.0
    assert run.row("q2", settings=settings(domains=[Domain.GPU]))["energy_joules"] is None


def test_what_a_co_owner_may_use_is_foreign_where_nothing_of_ours_runs(gpus: Any, energy: Any, settings: Any) -> None:
    run = with_topology(gpus("g0"))
    owners(run, 0.1, "g0", A)
    owners(run, 5, "g0", A, OTHER)
    run.begin("q1").call("q1", 2, 7).finish("q1")
    run.scrape(1, 0, 0).scrape(11, 0, 0).scrape(1, 0, 0, alias="judge")
    found = energy(run)
    assert found.conserved
    assert (found.total_joules, found.queries_joules) == (1000.0, 500.0)
    assert (found.idle_joules, found.foreign_joules) == (100.0, 400.0)
    [warning] = [one for one in run.results(settings=settings(domains=[Domain.GPU])).summary.warnings if "g0" in one]
    assert f"team/{OTHER}" in warning


def test_two_replicas_are_told_apart_by_pod(gpus: Any, energy: Any, settings: Any) -> None:
    pods = [{"name": name, "ip": ip} for name, ip in ADDRESSES.items()]
    run = with_topology(gpus("g0", "g1"), pods=pods, deployment=None)
    owners(run, 0.1, "g0", A)
    owners(run, 0.1, "g1", B)
    run.begin("q1").call("q1", 1, 11, server_url=f"http://{ADDRESSES[A]}:8000/v1").finish("q1")
    run.begin("q2").call("q2", 3, 5, server_url=f"http://{ADDRESSES[B]}:8000/v1").finish("q2")
    found = energy(run)
    assert found.conserved
    rows = {name: run.row(name, settings=settings(domains=[Domain.GPU])) for name in ("q1", "q2")}
    assert {name: row["energy_joules"] for name, row in rows.items()} == {"q1": 1000.0, "q2": 200.0}
    assert {name: row["server_pod"] for name, row in rows.items()} == {"q1": A, "q2": B}
    assert found.idle_joules == 800.0


def test_calls_to_addresses_that_nobody_listed_share_all_devices_of_their_server(gpus: Any, settings: Any) -> None:
    run = with_topology(gpus("g0", "g1"))
    owners(run, 0.1, "g0", A)
    owners(run, 0.1, "g1", B)
    run.begin("q1").call("q1", 2, 4).finish("q1")
    assert run.row("q1", settings=settings(domains=[Domain.GPU]))["energy_joules"] == 400.0


def test_a_judges_devices_are_not_the_models(gpus: Any, energy: Any) -> None:
    run = gpus("g0", "g1")
    judge = {"alias": "judge", "url": "http://judge/v1", "model": "wise", "namespace": "team", "deployment": "judge"}
    servers = [*topology()["servers"], judge]
    run.add(Kind.TOPOLOGY, 0, json=json.dumps({"servers": servers}))
    owners(run, 0.1, "g0", A)
    owners(run, 0.1, "g1", "judge-7d9f8c-bcdfg")
    run.begin("q1").call("q1", 2, 6).call("q1", 6, 8, alias="judge", role="judge").finish("q1")
    found = energy(run)
    assert (found.queries_joules, found.judge_joules, found.idle_joules) == (400.0, 200.0, 1400.0)


def test_owners_that_nobody_knows_are_told(gpus: Any, energy: Any) -> None:
    run = with_topology(gpus("g0"))
    owners(run, 0.1, "g0", known=False, problem="the kubelet does not answer")
    run.begin("q1").call("q1", 2, 6).finish("q1")
    found = energy(run)
    assert found.total_joules is None
    assert "g0: it is not known which pod has it: the kubelet does not answer" in found.problem


def test_a_processor_is_everybodys_and_counts_whoever_has_the_gpus(run: Run) -> None:
    with_topology(run)
    owners(run, 0.1, "cpu-0")
    run.begin("q1").call("q1", 2, 6).finish("q1")
    assert run.results().summary.energy.queries_joules == 400.0


def test_without_a_topology_owners_do_not_matter(gpus: Any, energy: Any) -> None:
    run = gpus("g0")
    owners(run, 0.1, "g0", OTHER)
    run.begin("q1").call("q1", 2, 6).finish("q1")
    assert energy(run).total_joules == 1000.0


@pytest.mark.parametrize(
    ("pod", "is_one"),
    [
        (A, True),
        ("llama-7d9f8c-bcdfg-x", False),
        ("llama-big-7d9f8c-bcdfg", False),
        ("llama-foo-bcdfg", False),
        ("llama", False),
    ],
)
def test_pods_of_a_deployment_are_known_by_their_names(pod: str, is_one: bool) -> None:
    assert is_pod_of("llama", pod) is is_one


def test_a_pod_that_was_ever_listed_stays_a_servers() -> None:
    listed = [Topology.model_validate(topology(deployment=None, pods=[{"name": name}])) for name in ("a", "b")]
    own = OwnPods().seen(listed[0]).seen(listed[1])
    assert own.own([("team", "a"), ("team", "b"), ("team", "c")]) == {("team", "a"), ("team", "b")}


OWN = OwnPods().seen(Topology.model_validate(topology()))
TICKS = np.arange(0, 100, 7)
TOLD = st.lists(
    st.builds(
        lambda at, pods: Told(at, frozenset(("team", pod) for pod in pods)),
        st.integers(-10, 110),
        st.sets(st.sampled_from([A, B, OTHER])),
    ),
    max_size=12,
)


@given(TOLD)
def test_stretches_are_apart_and_change_at_ticks(told: list[Told]) -> None:
    found = held(told, OWN, tick_ns=TICKS)
    for before, after in itertools.pairwise(found):
        assert before.end_ns <= after.start_ns
        assert before.end_ns < after.start_ns or (before.pods, before.others) != (after.pods, after.others)
    edges = {edge for one in found for edge in (one.start_ns, one.end_ns) if 0 <= edge <= TICKS[-1]}
    assert edges <= set(TICKS.tolist())
    for tick in TICKS.tolist():
        known = [one.pods for one in sorted(told, key=lambda one: one.time_ns) if one.time_ns <= tick]
        ours = OWN.own(known[-1]) if known else frozenset()
        serving = [one.pods for one in found if one.start_ns <= tick < one.end_ns]
        assert serving == ([ours] if ours else [])


@given(st.lists(st.tuples(st.integers(-5, 25), st.integers(0, 8)), max_size=6))
def test_gaps_are_where_nobody_is(spans: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in spans], dtype=np.int64)
    ends = starts + np.array([length for _, length in spans], dtype=np.int64)
    zeros = np.zeros(len(spans), dtype=np.int64)
    busy = Segments(zeros, starts, ends, zeros, zeros + 1)
    gaps = gap_segments(busy, start_ns=0, end_ns=20)
    free = {at for at in range(20) if not any(start <= at < end for start, end in zip(starts, ends, strict=True))}
    assert {at for one in range(len(gaps)) for at in range(gaps.start_ns[one], gaps.end_ns[one])} == free
    assert ALWAYS_NS > 20
