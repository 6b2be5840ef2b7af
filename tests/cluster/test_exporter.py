"""The exporter as a DaemonSet on a node with GPUs: whose joules they are, who may read them, and what it survives."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from grpc import StatusCode, aio
from tests.cluster import cgroups
from tests.cluster.cluster import Cluster
from tests.cluster.exporters import AUDIENCE, CALLERS_NAMESPACE, Exporter, Watched, watching
from tests.cluster.fakegpu import gpus as fake_gpus
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.images.products import product
from tests.cluster.models import RESTING_WATTS, Model, model_server, simulator, with_gpus
from tests.cluster.objects import PORT, Object, pod, pod_spec
from tests.cluster.relay import relayed
from tests.cluster.session import Namespace
from tests.cluster.tokens import with_times

from joulebench_exporter.client import ExporterAccessError, TickFlag

QUESTIONS = 12


def caller() -> Object:
    """A pod as a meter is one: it holds a token for the exporter, and one for somebody else."""
    tokens = [
        {"serviceAccountToken": {"audience": audience, "expirationSeconds": 600, "path": path}}
        for audience, path in ((AUDIENCE, "exporter"), ("somebody-else", "other"))
    ]
    projected = {"name": "volume", "projected": {"sources": tokens}}
    mounts = [{"name": "volume", "mountPath": "/tokens"}]
    spec = pod_spec("rest", container_more={"volumeMounts": mounts}, volumes=[projected])
    return {**pod("caller"), "spec": {**spec, "securityContext": {"fsGroup": 65532}}}


@pytest.fixture(scope="module")
def callers(cluster: Cluster) -> Iterator[Namespace]:
    """The namespace whose service accounts may read, with a pod that has tokens."""
    cluster.kubectl("create", "namespace", CALLERS_NAMESPACE)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={CALLERS_NAMESPACE}")
    namespace = Namespace(cluster, CALLERS_NAMESPACE)
    namespace.apply(caller())
    namespace.ready("caller")
    yield namespace
    cluster.kubectl("delete", "namespace", CALLERS_NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def token(callers: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The token that the caller's pod was given for the exporter."""
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(callers.kubectl("exec", "caller", "--", "cat", "/tokens/exporter"))
    return path


@pytest.fixture(scope="module")
def model(callers: Namespace, gpus_of_node: list[FakeGpu]) -> Model:
    """A model server with two GPUs."""
    image = product("simulator")
    callers.cluster.load_image(image.archive, nodes=["node0"])
    callers.apply(simulator("model", 2, image=image.name, flags=("--speed=10", "--words=200-200")))
    callers.ready("model")
    return model_server(callers, "model", gpus_of_node)


async def ask(session: aiohttp.ClientSession, url: str, number: int) -> None:
    question = {"messages": [{"role": "user", "content": f"question {number}"}]}
    async with session.post(f"{url}/v1/chat/completions", json=question) as answer:
        assert answer.status == 200


async def asked(model: Model) -> None:
    """Put some questions to a model server, all at once."""
    async with (
        relayed(model.namespace.cluster.namespace_path, model.address, PORT) as target,
        aiohttp.ClientSession() as session,
    ):
        await asyncio.gather(*(ask(session, f"http://{target}", at) for at in range(QUESTIONS)))


async def all_ticked(watched: Watched, gpus: list[FakeGpu], *, after_ns: int) -> None:
    """Wait for a tick of each GPU that is later than a time."""
    await watched.until(
        lambda: all(gpu.uuid in watched.last and watched.last[gpu.uuid].time_ns[-1] > after_ns for gpu in gpus),
        what="ticks of all GPUs",
    )


# --- whose joules they are --------------------------------------------------------------------------------------------


async def test_a_models_joules_are_on_its_two_gpus_and_on_no_other(
    exporter: Exporter, model: Model, token: Path, gpus: list[FakeGpu]
) -> None:
    async with exporter.client(token) as client, watching(client) as watched:
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns())
        before, began_ns = {gpu.uuid: watched.energy_mj(gpu.uuid) for gpu in gpus}, time.monotonic_ns()
        await asked(model)
        # The counter shows a step's end at the next tick.
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns() + 200_000_000)
        used = {gpu.uuid: watched.energy_mj(gpu.uuid) - before[gpu.uuid] for gpu in gpus}
        seconds = (time.monotonic_ns() - began_ns) / 1e9

    true_mj = sum(line["energy_mj"] for line in model.log()[-QUESTIONS:])
    rounded_mj, resting_mj = 4, 2 * RESTING_WATTS * 1000 * (seconds + 1)
    shown_mj = sum(used[gpu.uuid] for gpu in model.gpus)
    assert len(model.gpus) == 2
    assert true_mj > 10_000
    assert true_mj - resting_mj - rounded_mj <= shown_mj <= true_mj + resting_mj + rounded_mj
    for gpu in gpus:
        if gpu not in model.gpus:
            assert used[gpu.uuid] <= fake_gpus.RESTING_WATTS * 1000 * (seconds + 1)


async def test_what_the_exporter_counts_is_what_the_counter_showed(
    exporter: Exporter, model: Model, token: Path, gpus: list[FakeGpu]
) -> None:
    async with exporter.client(token) as client, watching(client) as watched:
        origins = {device.uuid: device.counter_origin_uj for device in (await client.describe()).devices}
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns())
        account = fake_gpus.account(gpus[0].file.parents[1])
        for index, gpu in enumerate(gpus):
            batch, origin_uj = watched.last[gpu.uuid], origins[gpu.uuid]
            assert origin_uj is not None
            _, shown_mj = account.ticks(index, from_ns=batch.time_ns[-1] - 10**9, to_ns=batch.time_ns[-1])[-1]
            assert origin_uj // 1000 + batch.energy_mj[-1] == shown_mj


async def test_owners_are_the_pods_that_have_the_gpus(
    exporter: Exporter, model: Model, token: Path, gpus: list[FakeGpu]
) -> None:
    async with exporter.client(token) as client, watching(client) as watched:
        own = {gpu.uuid for gpu in model.gpus}
        await watched.until(
            lambda: watched.pods() == dict.fromkeys(own, "model") and len(watched.owners) == 8, what="the owners"
        )
        for uuid, owners in watched.owners.items():
            assert (owners.known, owners.problem) == (True, "")
            assert [(one.namespace, one.container) for one in owners.containers] == [(CALLERS_NAMESPACE, "main")] * (
                uuid in own
            )


def test_metrics_name_the_owner(cluster: Cluster, exporter: Exporter, model: Model) -> None:
    def owners() -> set[str]:
        page = exporter.page("/metrics")
        lines = [line for line in page.splitlines() if line.startswith("joulebench_gpu_owner_info{")]
        assert all(f'namespace="{CALLERS_NAMESPACE}"' in line and 'shared="false"' in line for line in lines)
        return {found[1] for line in lines if 'pod="model"' in line and (found := re.search(r'UUID="([^"]+)"', line))}

    cluster.wait(lambda: owners() == {gpu.uuid for gpu in model.gpus}, what="the owner in the metrics")


@pytest.fixture
def patient_exporter(cluster: Cluster, exporter: Exporter) -> Iterator[Exporter]:
    """The exporter as it is when nothing but a pod's coming or going makes it ask who has which GPU."""
    assert exporter.node == "node0"
    yield Exporter.deploy(cluster, owners_seconds=600)
    Exporter.deploy(cluster)


async def test_a_pod_that_takes_anothers_place_is_the_owner_at_once(
    patient_exporter: Exporter, model: Model, token: Path, namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    others = {gpu.uuid for gpu in gpus if gpu not in model.gpus}
    async with patient_exporter.client(token) as client, watching(client) as watched:
        await watched.until(
            lambda: len([one for one in watched.owners.values() if one.known]) == 8, what="the kubelet's first answer"
        )
        await _becomes_owner(namespace, "first", watched, others)
        await asyncio.to_thread(namespace.kubectl, "delete", "pod", "first", "--now")
        began = time.monotonic()
        await _becomes_owner(namespace, "second", watched, others)
        FIGURES["pod replaced to new owner in the stream (s)"] = time.monotonic() - began
        assert "first" not in watched.pods().values()
        known_ns = max(watched.owners[uuid].since_ns or 0 for uuid in others)
        process_ns = await asyncio.to_thread(_first_process_ns, namespace, "second")
        FIGURES["owner known before the first process of its container (s)"] = (process_ns - known_ns) / 1e9


def _first_process_ns(namespace: Namespace, pod_name: str) -> int:
    """When the first process of a pod's container was made, by CLOCK_MONOTONIC and to 10 ms (proc_pid_stat(5))."""
    namespace.ready(pod_name)
    pid = _first_pid(namespace.cluster, namespace.get("pod", pod_name))
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    slept_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return ticks * 10**9 // os.sysconf("SC_CLK_TCK") - slept_ns


def _first_pid(cluster: Cluster, found: Object) -> int:
    container = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    (pid,) = cgroups.pids_in(container, below=cluster.layout.group)
    return pid


async def _becomes_owner(namespace: Namespace, name: str, watched: Watched, uuids: set[str]) -> None:
    await asyncio.to_thread(namespace.apply, with_gpus(name, len(uuids)))
    await watched.until(
        lambda: {uuid for uuid, pod_name in watched.pods().items() if pod_name == name} == uuids,
        what=f"pod {name} as the owner",
    )


# --- who may read -----------------------------------------------------------------------------------------------------


async def refusal(exporter: Exporter, token: Path | None) -> tuple[StatusCode, str]:
    """How the exporter turns a caller away."""
    async with exporter.client(token) as client:
        with pytest.raises(ExporterAccessError) as caught:
            await client.describe()
    cause = caught.value.__cause__
    assert isinstance(cause, aio.AioRpcError)
    return cause.code(), cause.details() or ""


@dataclass(frozen=True)
class Tokens:
    """Tokens of several kinds."""

    callers: Namespace
    good: Path
    scratch: Path

    def none(self) -> None:
        """No token."""

    def wrong_audience(self) -> str:
        """For somebody else."""
        return self.callers.kubectl("exec", "caller", "--", "cat", "/tokens/other")

    def for_the_api_server(self) -> str:
        """What every pod has."""
        path = "/var/run/secrets/kubernetes.io/serviceaccount/token"
        return self.callers.kubectl("exec", "caller", "--", "cat", path)

    def expired(self) -> str:
        """Good until a minute ago."""
        return self.with_end(-60)

    def forged(self) -> str:
        """Signed by nobody."""
        return self.good.read_text().rpartition(".")[0] + ".c2lnbmVk"

    def of_a_stranger(self) -> str:
        """Good, from a namespace that is not allowed."""
        return self.callers.cluster.kubectl(
            "create", "token", "default", "--namespace=default", f"--audience={AUDIENCE}"
        ).strip()

    def with_end(self, expires_in_seconds: int) -> str:
        """The good one with another end, and signed as that one is."""
        layout = self.callers.cluster.layout
        return with_times(self.good.read_text(), layout, scratch=self.scratch, expires_in_seconds=expires_in_seconds)


@pytest.fixture
def tokens(callers: Namespace, token: Path, tmp_path: Path) -> Tokens:
    return Tokens(callers, token, tmp_path)


async def test_a_token_for_the_exporter_is_admitted(exporter: Exporter, tokens: Tokens, tmp_path: Path) -> None:
    (tmp_path / "other-end").write_text(tokens.with_end(600))
    for good in (tokens.good, tmp_path / "other-end"):
        async with exporter.client(good) as client:
            assert len((await client.describe()).devices) == 8


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Tokens.none, StatusCode.UNAUTHENTICATED),
        (Tokens.wrong_audience, StatusCode.UNAUTHENTICATED),
        (Tokens.for_the_api_server, StatusCode.UNAUTHENTICATED),
        (Tokens.expired, StatusCode.UNAUTHENTICATED),
        (Tokens.forged, StatusCode.UNAUTHENTICATED),
        (Tokens.of_a_stranger, StatusCode.PERMISSION_DENIED),
    ],
)
async def test_who_is_turned_away_learns_nothing_and_the_log_tells_no_token(
    exporter: Exporter, tokens: Tokens, tmp_path: Path, kind: Callable[[Tokens], str | None], code: StatusCode
) -> None:
    path, text = tmp_path / "presented", kind(tokens)
    path.write_text(text or "")

    refused = await refusal(exporter, None if text is None else path)

    words = {
        StatusCode.UNAUTHENTICATED: f"present a service-account token for the audience '{AUDIENCE}'",
        StatusCode.PERMISSION_DENIED: "callers of this namespace are not allowed here",
    }
    assert refused == (code, words[code])
    assert not any(part in exporter.logs() for part in (text or "").split(".") if part)


# --- without privilege ------------------------------------------------------------------------------------------------


def test_it_is_root_without_any_of_its_powers(exporter: Exporter) -> None:
    lines = exporter.in_container("cat", "/proc/1/status").splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert status["Uid"].split() == ["0"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    mounts = exporter.in_container("cat", "/proc/1/mounts").splitlines()
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts}
    assert "ro" in options["/"]
    assert "ro" in options["/var/lib/kubelet/pod-resources"]
    # Control groups of version 1 are several file systems in one folder.
    groups = [path for path in options if Path(path).is_relative_to("/host/cgroup")]
    assert groups
    assert all("ro" in options[path] for path in groups)


# --- what it survives -------------------------------------------------------------------------------------------------


def failing(exporter: Exporter) -> set[str]:
    """The GPUs that could not be read at some time."""
    pattern = r'^joulebench_exporter_read_failures_total\{device="([^"]+)",.*\} (?!0\.0$)'
    return set(re.findall(pattern, exporter.page("/metrics"), re.MULTILINE))


async def test_a_gpu_that_is_lost_while_it_is_measured_disturbs_no_other_and_its_joules_come_later(
    cluster: Cluster, exporter: Exporter, model: Model, token: Path, gpus: list[FakeGpu]
) -> None:
    lost, spared = model.gpus
    async with exporter.client(token) as client, watching(client) as watched:
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns())
        lost.get_lost()
        await asyncio.to_thread(cluster.wait, lambda: cluster.gpus_for_pods() == 7, what="one GPU less for pods")
        watched.flags.clear()
        before, last_ns = {gpu.uuid: watched.energy_mj(gpu.uuid) for gpu in model.gpus}, time.monotonic_ns()
        await asked(model)
        await all_ticked(watched, [gpu for gpu in gpus if gpu is not lost], after_ns=time.monotonic_ns())
        assert watched.last[lost.uuid].time_ns[-1] < last_ns
        assert await asyncio.to_thread(failing, exporter) == {lost.uuid}

        lost.recover()
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns())
        assert watched.flags[lost.uuid] & TickFlag.GAP
        used = [watched.energy_mj(gpu.uuid) - before[gpu.uuid] for gpu in (lost, spared)]
        assert min(used) > 1000
        # Both did the same work; what one rested longer is next to nothing.
        assert used[0] == pytest.approx(used[1], rel=0.02)
        assert {watched.pods().get(gpu.uuid) for gpu in model.gpus} == {"model"}


async def test_a_killed_exporter_comes_back_and_knows_everything_again(
    cluster: Cluster, exporter: Exporter, model: Model, token: Path, gpus: list[FakeGpu]
) -> None:
    async with exporter.client(token) as client, watching(client) as watched:
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns())
        origins = {device.uuid: device.counter_origin_uj or 0 for device in (await client.describe()).devices}
        ended = {uuid: origin_uj + watched.energy_mj(uuid) * 1000 for uuid, origin_uj in origins.items()}
        began = time.monotonic()
        _kill(cluster, exporter)
        await watched.until(lambda: len(watched.instances) == 2, what="the next exporter")
        FIGURES["exporter killed to first tick of the next (s)"] = time.monotonic() - began

        own = {gpu.uuid for gpu in model.gpus}
        await watched.until(lambda: watched.pods() == dict.fromkeys(own, "model"), what="the owners")
        await all_ticked(watched, gpus, after_ns=time.monotonic_ns())
        # The boards' counters went on: from what the next one began with, one knows what was used in between.
        begun = {device.uuid: device.counter_origin_uj or 0 for device in (await client.describe()).devices}
        assert all(begun[uuid] >= energy_uj for uuid, energy_uj in ended.items())
    status = exporter.pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1


def _kill(cluster: Cluster, exporter: Exporter) -> None:
    os.kill(_first_pid(cluster, exporter.pod), signal.SIGKILL)


async def test_while_the_kubelet_is_away_owners_stay_and_are_marked(
    cluster: Cluster, exporter: Exporter, model: Model, token: Path
) -> None:
    own = {gpu.uuid for gpu in model.gpus}
    async with exporter.client(token) as client, watching(client) as watched:
        await watched.until(lambda: watched.pods() == dict.fromkeys(own, "model"), what="the owners")
        cluster.kill("kubelet")
        try:
            await watched.until(lambda: all(one.problem for one in watched.owners.values()), what="the mark")
            assert watched.pods() == dict.fromkeys(own, "model")
        finally:
            await asyncio.to_thread(cluster.restart, "kubelet")
        await watched.until(lambda: not any(one.problem for one in watched.owners.values()), what="the kubelet's word")
        assert watched.pods() == dict.fromkeys(own, "model")
    await asyncio.to_thread(cluster.wait, lambda: cluster.gpus_for_pods() == 8, what="all GPUs")
