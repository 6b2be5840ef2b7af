"""One cluster for the test run, a fresh namespace for each test, and a look at both when a test fails."""

import itertools
import os
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import pytest
from tests import nvml_stub
from tests.cluster import binaries, figures, machine
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.dump import dump
from tests.cluster.errors import NotPossibleHereError
from tests.cluster.exporters import Exporter
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.images import store
from tests.cluster.installation import Installation
from tests.cluster.session import Namespace
from tests.cluster.settings import CRDS

from joulebench_api.crd.kinds import KINDS

_numbers = itertools.count(1)
_REASON = pytest.StashKey[str]()
_CLUSTER = pytest.StashKey[Cluster]()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of this test run."""
    stash = request.config.stash
    if _REASON not in stash:
        stash[_REASON] = _shortcoming()
    if reason := stash[_REASON]:
        pytest.skip(reason)
    started = Cluster(f"test-{os.getpid()}")
    started.start()
    figures.FIGURES.update(started.figures)
    figures.FIGURES["build of all programs, when it was done (s)"] = binaries.build_seconds()
    figures.FIGURES[figures.IDLE_MEMORY] = started.memory_mib()
    stash[_CLUSTER] = started
    try:
        yield started
    finally:
        del stash[_CLUSTER]
        started.stop()
        figures.FIGURES.update(started.figures)


def _shortcoming() -> str:
    """Why no cluster can run here; empty if one can. Builds what is not built yet."""
    try:
        machine.require()
        binaries.binaries()
        store.workload()
    except NotPossibleHereError as error:
        return error.message
    return ""


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    """Our kinds are known to the API server."""
    cluster.kubectl("apply", "--server-side", "-f", CRDS)
    api = cluster.api()
    for kind in KINDS:
        # The path of a kind answers once the API server knows the kind.
        path = f"/apis/joulebench.dev/v1alpha1/{kind.plural}"
        cluster.wait(partial(_answers, api, path), what=f"an answer at {path}")
    api.close()


def _answers(api: Api, path: str) -> bool:
    return api.request("GET", path).good


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A fresh namespace; it goes when the test ends."""
    name = f"test-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=20s")
    yield Namespace(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def gpus_of_node(cluster: Cluster) -> Iterator[list[FakeGpu]]:
    """The first node has eight GPUs that are not there."""
    if reason := nvml_stub.why_not():
        pytest.skip(reason)
    yield cluster.add_gpus()
    cluster.remove_gpus()


@pytest.fixture
def gpus(gpus_of_node: list[FakeGpu]) -> Iterator[list[FakeGpu]]:
    """The GPUs of the first node; they are all well again when the test ends."""
    yield gpus_of_node
    for gpu in gpus_of_node:
        gpu.recover()


@pytest.fixture(scope="module")
def exporter(cluster: Cluster, gpus_of_node: list[FakeGpu]) -> Iterator[Exporter]:
    """The exporter of the first node, which has eight GPUs."""
    assert len(gpus_of_node) == 8
    deployed = Exporter.deploy(cluster)
    yield deployed
    deployed.remove()


@pytest.fixture(scope="module")
def installation(
    cluster: Cluster, gpus_of_node: list[FakeGpu], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The chart, installed on a node with eight GPUs."""
    assert len(gpus_of_node) == 8
    installed = Installation.install(cluster, tmp_path_factory.mktemp("values"))
    yield installed
    installed.remove()


@pytest.fixture
def api(cluster: Cluster) -> Iterator[Api]:
    """A client of the API server with all rights."""
    client = cluster.api()
    yield client
    client.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = item.config.stash.get(_CLUSTER, None)
    if report.failed and running is not None and report.when in {"setup", "call"}:
        found = getattr(item, "funcargs", {}).get("namespace")
        text = dump(running, found.name if isinstance(found, Namespace) else None, test=item.name)
        report.sections.append(("cluster", text))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its figures to whoever prints them."""
    handed: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if handed is not None:
        handed.update(figures=figures.FIGURES, reason=session.config.stash.get(_REASON, ""))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended. One that crashed has nothing to hand over."""
    handed = getattr(node, "workeroutput", {})
    figures.FIGURES.update(handed.get("figures", {}))
    if "reason" in handed:
        node.config.stash[_REASON] = handed["reason"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests ran on a cluster: a run without one must not look like a good one."""
    counts = {kind: len(terminalreporter.stats.get(kind, ())) for kind in ("passed", "failed", "error", "skipped")}
    for line in figures.lines():
        terminalreporter.write_line(f"figure: {line}")
    if reason := config.stash.get(_REASON, ""):
        terminalreporter.write_line(f"no cluster: {reason}")
    ran = counts["passed"] + counts["failed"]
    terminalreporter.write_line(
        f"cluster tests: {ran} ran, {counts['failed']} failed, {counts['error']} errors, {counts['skipped']} skipped"
    )
