"""The operator on a real API server with many runs: its writes, its memory, its speed, and those of the naive form.

Pods run on nodes that KWOK plays, which gives the runner's messages too; model servers and meters are one small HTTP
server behind the addresses of all pods. Everything else is real: API server, controllers, scheduler, the operator.

    python -m tests.bench.operator [--runs N]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tests.bench.operator import played
from tests.bench.operator.following import FINISHED, JOBS, following
from tests.bench.operator.requests import Written, own_page, samples, written
from tests.cluster.api import APPLY_PATCH, Api
from tests.cluster.benchmarks import model_server, run
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError, NotPossibleHereError
from tests.cluster.kwok import ON_FAKE_NODES, kwok_command
from tests.cluster.session import Namespace
from tests.cluster.settings import CRDS, FAKE_POD_RANGE
from tests.cluster.waiting import until

from joulebench_api.contracts.ports import OPERATOR_METRICS_PORT

RUNS = 1000
PACED, PER_SECOND = 200, 10.0
"""Runs that are applied at a pace, to see how fast the operator is; all others come at once."""
RUNS_OF_A_SERVER = 50
SERVERS_READY_SECONDS = 40.0
ENDED_SECONDS = 90.0
"""These limits keep the whole bench under six minutes, whatever happens."""
VISITED_SECONDS = 30.0
QUIET_SECONDS = 3.0
LEAST_WRITES = 6
"""Of a run: three children (assignment, topology, Job), and that it began, asks, and has ended."""
BAR_WRITES, BAR_MEMORY_MIB, BAR_P99_SECONDS = 1.1, 150.0, 1.0
_RUNS = "/apis/joulebench.dev/v1alpha1/namespaces/{}/benchmarkruns"


@dataclass(kw_only=True)
class Measured:
    """The figures of one operator."""

    runs: int
    ended: int
    seconds: float
    """Until all had ended."""
    writes: Written
    events: int
    delays: list[float] = field(default_factory=list)
    """From the answer to an apply to the news of the Job."""
    busy_cores: float = 0.0
    """Of the machine, by everything that runs on it, while runs were applied at the pace."""
    memory_mib: float = 0.0
    cpu_seconds: float = 0.0
    own_writes: Written | None = None
    """By the operator's own metric."""
    again_writes: int = 0
    """After it was started again."""
    again_seconds: float | None = None
    """Until all were looked at again."""
    again_memory_mib: float = 0.0

    @property
    def ratio(self) -> float:
        """Writes of a run in terms of the least."""
        return self.writes.total() / self.runs / LEAST_WRITES


class Process:
    """An operator as a process in the cluster's network."""

    def __init__(self, cluster: Cluster, words: Sequence[str], log: Path) -> None:
        self._cluster, self._words, self._log = cluster, words, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [*self._cluster.enter(), sys.executable, "-m", *self._words]
            environment = {**self._cluster.environment, "PYTHONPATH": str(Path.cwd())}
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)

    @property
    def used(self) -> tuple[float, float]:
        """Resident MiB and seconds of CPU."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        times = process.cpu_times()
        return process.memory_info().rss / 2**20, times.user + times.system


@contextmanager
def _running(process: Process) -> Iterator[Process]:
    process.start()
    try:
        yield process
    finally:
        process.stop()


def _servers(runs: int) -> list[str]:
    return [f"server-{index}" for index in range(max(1, -(-runs // RUNS_OF_A_SERVER)))]


def _run(index: int, servers: Sequence[str]) -> Any:
    reference = {"modelServerRef": {"name": servers[index % len(servers)]}, "access": "Shared"}
    return run(
        f"run-{index}",
        server=reference,
        limit=played.QUESTIONS,
        energy={"policy": "Preferred"},
        results={"store": {"objectStore": {"url": "s3://bench/results"}}},
        runner={"placement": ON_FAKE_NODES},
    )


def _apply(api: Api, namespace: str, body: Any) -> None:
    path = f"{_RUNS.format(namespace)}/{body['metadata']['name']}?fieldManager=bench"
    answer = api.request("PATCH", path, body, content_type=APPLY_PATCH)
    if not answer.good:
        raise ClusterError(f"{path}: {answer.status} {answer.message}", remedy="see the message")


def _busy_core_seconds() -> float:
    """By everything that runs on the machine, since it was started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _apply_all(api: Api, namespace: str, runs: Sequence[Any], applied: dict[str, float]) -> float:
    """The first ones at the pace, the others as fast as they are taken; how many cores were busy at the pace."""
    begin, busy_before = time.monotonic(), _busy_core_seconds()
    busy = 0.0
    for index, body in enumerate(runs):
        if index < PACED:
            time.sleep(max(0.0, begin + index / PER_SECOND - time.monotonic()))
            busy = (_busy_core_seconds() - busy_before) / (time.monotonic() - begin)
        _apply(api, namespace, body)
        if index < PACED:
            applied[body["metadata"]["name"]] = time.monotonic()
    return busy


def _measure(namespace: Namespace, process: Process, runs: Sequence[Any]) -> Measured:
    """Apply runs, and follow them to their end."""
    cluster = namespace.cluster
    api = cluster.api()
    before, cpu_before = written(api), process.used[1]
    applied: dict[str, float] = {}
    with following(namespace, JOBS) as jobs, following(namespace, FINISHED) as finished:
        time.sleep(1)  # kubectl tells nobody when it watches
        began = time.monotonic()
        busy = _apply_all(api, namespace.name, runs, applied)
        try:
            until(lambda: len(finished.seconds) >= len(runs), what="all ends", timeout_seconds=ENDED_SECONDS)
        except ClusterError as error:
            print(f"  {error}: {len(finished.seconds)} of {len(runs)}")
        took = max(finished.seconds.values(), default=began) - began
    time.sleep(QUIET_SECONDS)
    memory, cpu = process.used
    delays = [max(0.0, jobs.seconds[name] - at) for name, at in applied.items() if name in jobs.seconds]
    return Measured(
        runs=len(runs), ended=len(finished.seconds), seconds=took, writes=_since(before, api),
        events=_events(api, namespace.name), delays=delays, busy_cores=busy, memory_mib=memory,
        cpu_seconds=cpu - cpu_before,
    )  # fmt: skip


def _since(before: Written, api: Api) -> Written:
    return written(api) - before


def _events(api: Api, namespace: str) -> int:
    """Events about runs. They are kept for an hour, so none is missing."""
    path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind=BenchmarkRun"
    return len(api.items(path))


def _measure_again(cluster: Cluster, process: Process, measured: Measured, *, visits: int | None) -> None:
    """Start it again when nothing has changed."""
    process.stop()
    api = cluster.api()
    before, began = written(api), time.monotonic()
    process.start()
    if visits is None:
        time.sleep(10)
    else:
        cluster.wait(lambda: _visited(cluster) >= visits, what="all visits", timeout_seconds=VISITED_SECONDS)
        measured.again_seconds = time.monotonic() - began
    time.sleep(QUIET_SECONDS)
    measured.again_writes = _since(before, api).total()
    measured.again_memory_mib = process.used[0]


def _visited(cluster: Cluster) -> float:
    """Successful visits, once nothing waits."""
    page = own_page(cluster.namespace_path, OPERATOR_METRICS_PORT)
    ((_, depth),) = samples(page, "workqueue_depth")
    visits = [(labels, value) for labels, value in samples(page, "controller_runtime_reconcile_total")]
    good = sum(value for labels, value in visits if labels["result"] == "success")
    return 0.0 if depth else good


def _own_writes(cluster: Cluster) -> Written:
    page = own_page(cluster.namespace_path, OPERATOR_METRICS_PORT)
    found: Written = Written()
    for labels, value in samples(page, "joulebench_operator_writes_total"):
        found[f"{labels['kind']} {labels['verb']}"] += round(value)
    return found


@contextmanager
def _cluster() -> Iterator[Cluster]:
    """A cluster with our kinds, fake nodes, and a server behind the addresses of their pods."""
    cluster = Cluster(f"bench-{os.getpid()}")
    cluster.start()
    try:
        cluster.kubectl("apply", "--server-side", "-f", CRDS)
        cluster.run(["ip", "route", "add", "local", FAKE_POD_RANGE, "dev", "lo"])
        stages = cluster.layout.folder / "bench-stages.yaml"
        stages.write_text(played.stages())
        cluster.start_beside("kwok", kwok_command(cluster.kubeconfig, stages))
        nodes = cluster.add_fake_nodes(6)
        cluster.wait(lambda: all(map(cluster.node_ready, nodes)), what="fake nodes to be Ready")
        yield cluster
    finally:
        cluster.stop()


def _ours(cluster: Cluster, runs: int, folder: Path) -> Measured:
    images = ("--image=runner=runner:1", "--image=Simulator=simulator:1")
    words = ("joulebench_operator", "--no-leader-elect", "--log-format=text", *images)
    pods = Process(cluster, ("tests.bench.operator.played",), folder / "pods.log")
    with _running(pods), _running(Process(cluster, words, folder / "operator.log")) as process:
        namespace = _namespace(cluster, "ours")
        servers = _servers(runs)
        namespace.apply(*(model_server(name, placement=ON_FAKE_NODES) for name in servers))
        limit = f"--timeout={SERVERS_READY_SECONDS:.0f}s"
        namespace.kubectl("wait", "--for=condition=Ready", "modelservers", "--all", limit)
        before = _own_writes(cluster)
        measured = _measure(namespace, process, [_run(index, servers) for index in range(runs)])
        measured.own_writes = _own_writes(cluster) - before
        _measure_again(cluster, process, measured, visits=runs + len(servers))
    return measured


def _naive(cluster: Cluster, runs: int, folder: Path) -> Measured:
    with _running(Process(cluster, ("tests.bench.operator.naive",), folder / "naive.log")) as process:
        namespace = _namespace(cluster, "naive")
        servers = _servers(runs)
        measured = _measure(namespace, process, [_run(index, servers) for index in range(runs)])
        _measure_again(cluster, process, measured, visits=None)
    return measured


def _namespace(cluster: Cluster, name: str) -> Namespace:
    """A namespace that has what controllers put into each."""
    cluster.kubectl("create", "namespace", name)
    namespace = Namespace(cluster, name)
    cluster.wait(lambda: namespace.get("configmap", "kube-root-ca.crt"), what="the namespace's first ConfigMap")
    return namespace


def _percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def _print(ours: Measured, naive: Measured) -> None:
    print(f"  {'':42} {'ours':>10} {'naive':>10} {'naive/ours':>10}")
    _line("runs that ended", ours.ended, naive.ended, "")
    _line("until the last had ended", ours.seconds, naive.seconds, "s")
    _line("writes of a run", ours.writes.total() / ours.runs, naive.writes.total() / naive.runs, "")
    _line(f"  in terms of the least ({LEAST_WRITES})", ours.ratio, naive.ratio, "", bar=BAR_WRITES)
    _line("events of a run", ours.events / ours.runs, naive.events / naive.runs, "")
    _line("writes after a restart", ours.again_writes, naive.again_writes, "", bar=0)
    _line("apply to Job, p50", _percentile(ours.delays, 0.5), _percentile(naive.delays, 0.5), "s")
    late = [_percentile(one.delays, 0.99) for one in (ours, naive)]
    _line(f"  p99, {PER_SECOND:g} applies/s", late[0], late[1], "s", bar=BAR_P99_SECONDS)
    _line(f"  cores busy meanwhile, of {os.cpu_count()}", ours.busy_cores, naive.busy_cores, "")
    _line("memory with all runs", ours.memory_mib, naive.memory_mib, "MiB", bar=BAR_MEMORY_MIB)
    _line("  after a restart", ours.again_memory_mib, naive.again_memory_mib, "MiB", bar=BAR_MEMORY_MIB)
    _line("CPU of a run", 1000 * ours.cpu_seconds / ours.runs, 1000 * naive.cpu_seconds / naive.runs, "ms")
    if ours.again_seconds is not None:
        print(f"  restart until all were looked at again: {ours.again_seconds:.1f} s")
    own = ours.own_writes or Written()
    print(f"  by our own metric: {own.total() / ours.runs:.2f} a run ({_listed(own)})")
    for name, one in (("ours", ours), ("naive", naive)):
        print(f"  by the API server, {name}: {_listed(one.writes)}")


def _line(what: str, ours: float, naive: float, unit: str, *, bar: float | None = None) -> None:
    ratio = f"{naive / ours:>9.2f}x" if ours else f"{'-':>10}"
    said = "" if bar is None else f"   bar {bar:g}{', MISSED' if not ours <= bar else ''}"
    print(f"  {what:42} {ours:>10.2f} {naive:>10.2f} {ratio} {unit}{said}")


def _listed(counts: Written) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def main(runs: int = RUNS) -> None:
    """Measure ours, then the naive form, on one cluster."""
    print(f"operator, {runs:,} runs, real API server, pods of KWOK")
    try:
        with tempfile.TemporaryDirectory() as folder, _cluster() as cluster:
            try:
                ours = _ours(cluster, runs, Path(folder))
                naive = _naive(cluster, runs, Path(folder))
            except BaseException:
                for log in sorted(Path(folder).glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-2000:]}", file=sys.stderr)
                raise
    except NotPossibleHereError as error:
        print(f"  not measured: {error.message}")
        return
    _print(ours, naive)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.operator")
    parser.add_argument("--runs", type=int, default=RUNS, help="how many (default: %(default)s)")
    main(parser.parse_args().runs)
