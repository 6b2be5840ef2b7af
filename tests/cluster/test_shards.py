"""A run that two pods share: a pod dies, or both are held back, and still every question is asked once."""

from pathlib import Path
from typing import Any, Final

import pytest
from tests.cluster.benchmarks import SLOW, Benchmark, everything_was_answered_once, gpus_in_use, run, simulator, started
from tests.cluster.cluster import Cluster
from tests.cluster.containers import kill
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.session import Namespace
from tests.cluster.stores import ClusterStore
from tests.cluster.waiting import until
from tests.object_stores import BUCKET

from joulebench_api.contracts.summary import Summary
from joulebench_runner.journal.names import shard_folders
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("installation")]

QUESTIONS: Final = 120
_INDEX: Final = "batch.kubernetes.io/job-completion-index"


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> ClusterStore:
    return ClusterStore.start(cluster)


def sharded(name: str, *, store: Any) -> Any:
    """A run of two shards on a slow server of its own."""
    server = {"template": {"spec": simulator(**SLOW)}}
    return run(name, limit=QUESTIONS, shards=2, concurrency=4, server=server, results={"store": store})


def answered(benchmark: Benchmark, *, least: int) -> None:
    """Wait until so many questions are answered, by both together."""
    until(
        lambda: int(benchmark.status.get("progress", {}).get("completed", 0)) >= least,
        what=f"{least} answers of {benchmark.name}",
        timeout_seconds=120,
    )


def pods_of(benchmark: Benchmark, index: int) -> list[str]:
    """The names of all pods that a shard has had."""
    found = benchmark.pods("runner")
    return [str(pod["metadata"]["name"]) for pod in found if pod["metadata"]["annotations"].get(_INDEX) == str(index)]


def each_shard_asked_its_own(folder: Path) -> None:
    """Their journals have no question in common, and none is finished twice in one."""
    asked = []
    for journal in shard_folders(folder / "journal").values():
        finished = [row["query_id"] for row in read(journal).table(Kind.QUERY_FINISH).to_pylist()]
        assert len(finished) == len(set(finished)) == QUESTIONS // 2
        asked.append(set(finished))
    assert len(asked) == 2
    assert not asked[0] & asked[1]


def it_adds_up(summary: Summary) -> None:
    """All joules are there, and none of a shard's calls was foreign to another."""
    assert (summary.state, summary.counts.asked, summary.counts.errors) == ("completed", QUESTIONS, 0)
    assert summary.energy.conserved
    assert summary.energy.foreign_joules == 0
    assert (summary.energy.queries_joules or 0) > 0


def test_a_shard_that_dies_is_followed_by_another_and_the_results_are_of_all(
    namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    claim = {"claimTemplate": {"size": "1Gi", "accessModes": ["ReadWriteMany"]}}
    (benchmark,) = started(namespace, sharded("dies", store=claim))
    answered(benchmark, least=10)
    assert benchmark.status["progress"]["total"] == QUESTIONS
    (first,) = pods_of(benchmark, 1)
    kill(namespace, first, "driver")
    until(lambda: len(pods_of(benchmark, 1)) == 2, what="another pod of the shard", timeout_seconds=60)
    benchmark.wait("Succeeded", seconds=240)

    assert len(pods_of(benchmark, 0)) == 1
    it_adds_up(benchmark.summary)
    everything_was_answered_once(benchmark, questions=QUESTIONS)
    each_shard_asked_its_own(benchmark.folder)
    assert benchmark.status["progress"]["display"] == f"{QUESTIONS}/{QUESTIONS}"
    assert benchmark.status["summary"]["conserved"] is True
    job = namespace.get("job", "dies-1")["status"]
    assert (job["failed"], job["succeeded"]) == (1, 2)
    assert namespace.get("job", "dies-1-finalise")["status"]["succeeded"] == 1
    until(lambda: gpus_in_use(namespace, gpus) == 0, what="GPUs that are given back", timeout_seconds=30)


def test_shards_that_are_held_back_go_on_with_what_lies_in_their_store(
    namespace: Namespace, gpus: list[FakeGpu], store: ClusterStore
) -> None:
    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "stringData": dict(store.keys)})
    found = store.settings("held")
    where = {"url": f"s3://{BUCKET}/runs", "endpoint": found.endpoint, "region": found.region}
    (benchmark,) = started(
        namespace, sharded("held", store={"objectStore": {**where, "credentialsSecretRef": {"name": "s3"}}})
    )
    answered(benchmark, least=10)
    namespace.kubectl("patch", "brun", "held", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    until(lambda: gpus_in_use(namespace, gpus) == 0, what="GPUs that are given back", timeout_seconds=150)
    assert benchmark.reason() == "Suspended"
    namespace.kubectl("patch", "brun", "held", "--type=merge", "--patch", '{"spec": {"suspend": false}}')
    benchmark.wait("Succeeded", seconds=240)

    folder = store.folder("held")
    it_adds_up(Summary.model_validate_json((folder / "summary.json").read_bytes()))
    each_shard_asked_its_own(folder)
    assert benchmark.status["results"]["url"] == f"s3://{BUCKET}/runs/held/summary.json"
