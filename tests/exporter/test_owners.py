"""Who has which device: every form of identifier, and a kubelet that comes and goes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grpc import aio

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.devices import DeviceInfo, Owner, Owners, Partition
from joulebench_exporter.kubelet import KubeletFollower
from joulebench_exporter.ownership import Given, OwnerBook, resolve
from joulebench_exporter.pod_groups import PodChanges
from joulebench_exporter.proto import podresources_pb2 as pb
from joulebench_exporter.proto.podresources_pb2_grpc import (
    PodResourcesListerServicer,
    add_PodResourcesListerServicer_to_server,
)

if TYPE_CHECKING:
    from tests.exporter.conftest import FakeClock, ServeExporter

A, B = "GPU-aaaaaaaa-0000-4000-8000-000000000000", "GPU-bbbbbbbb-0000-4000-8000-000000000000"
MIG = "MIG-cccccccc-0000-4000-8000-000000000001"


def device(uuid: str, *, index: int = 0, minor: int = 0, partitions: tuple[str, ...] = ()) -> DeviceInfo:
    return DeviceInfo(
        uuid=uuid,
        name="GPU",
        domain=Domain.GPU,
        scope=Scope.BOARD,
        sensor="nvml",
        sensor_kind=SensorKind.MEASURED,
        source="a test",
        tick_period_seconds=0.1,
        index=index,
        minor=minor,
        partitions=tuple(Partition(uuid=part, name="1g.10gb") for part in partitions),
    )


DEVICES = [device(A, index=0, minor=1), device(B, index=1, minor=0, partitions=(MIG,))]


def given(*names: str, resource: str = "nvidia.com/gpu", pod: str = "llama", claim: str = "") -> Given:
    return Given(namespace="models", pod=pod, container="server", resource=resource, names=names, claim=claim)


def owner(*, pod: str = "llama", partition: str = "", claim: str = "") -> Owner:
    return Owner(namespace="models", pod=pod, container="server", partition=partition, claim=claim)


@pytest.mark.parametrize(
    ("name", "resource", "uuid", "partition"),
    [
        (A, "nvidia.com/gpu", A, ""),
        (A, "example.org/renamed", A, ""),
        (f"{A}::3", "nvidia.com/gpu.shared", A, ""),
        (MIG, "nvidia.com/mig-1g.10gb", B, MIG),
        (f"{MIG}::0", "nvidia.com/gpu", B, MIG),
        (f"MIG-{B}/1/0", "nvidia.com/mig-1g.5gb", B, f"MIG-{B}/1/0"),
        ("0", "nvidia.com/gpu", A, ""),
        ("nvidia0", "nvidia.com/gpu", B, ""),
        ("nvidia0/gi1", "nvidia.com/gpu", B, "nvidia0/gi1"),
        ("nvidia1/vgpu0", "nvidia.com/gpu", A, "nvidia1/vgpu0"),
        ("gpu-1", "gpu.nvidia.com", A, ""),
        ("gpu-0-mig-1g10gb-19-1", "gpu.nvidia.com", B, "gpu-0-mig-1g10gb-19-1"),
        (f"1234-{A}", "gpu.nvidia.com", A, ""),
    ],
)
def test_every_form_of_identifier_leads_to_its_device(name: str, resource: str, uuid: str, partition: str) -> None:
    found = resolve(DEVICES, [given(name, resource=resource)])
    assert found.owners == {uuid: (owner(partition=partition),)}
    assert not found.unknown


def test_numbers_of_other_vendors_devices_are_not_ours() -> None:
    found = resolve(DEVICES, [given("0", resource="example.org/nic"), given("gpu-0", resource="gpu.example.org")])
    assert (found.owners, found.unknown) == ({}, [])


def test_devices_that_are_given_away_but_not_measured_are_told() -> None:
    found = resolve(DEVICES, [given("GPU-dddddddd-0000-4000-8000-000000000000")])
    assert found.owners == {}
    assert found.unknown == ["nvidia.com/gpu GPU-dddddddd-0000-4000-8000-000000000000 of models/llama"]


def test_a_device_with_several_owners_says_so() -> None:
    found = resolve(DEVICES, [given(f"{A}::0"), given(f"{A}::1", pod="other"), given(f"{A}::2", pod="other")])
    owners = Owners(containers=found.owners[A], known=True)
    assert owners.containers == (owner(), owner(pod="other"))
    assert owners.shared
    assert not Owners(containers=(owner(), owner(partition=MIG))).shared  # one container, two parts


def test_a_kubelet_that_went_away_leaves_what_was_known_and_its_mark() -> None:
    book = OwnerBook()
    nothing = book.of(A)
    book.write({A: Owners(containers=(owner(),), known=True)})
    book.fail("no answer")
    assert (nothing.known, nothing.problem) == (False, "")
    assert book.of(A) == Owners(containers=(owner(),), known=True, problem="no answer")
    assert book.of(B) == Owners(problem="no answer")
    version = book.version
    book.fail("no answer")
    assert book.version == version


class FakeKubelet(PodResourcesListerServicer):
    """Answers with whatever `pods` holds."""

    def __init__(self) -> None:
        self.pods: list[pb.PodResources] = []
        self.asked = 0
        self.on_question: Callable[[], None] = lambda: None
        """Called before each answer."""

    async def List(  # noqa: N802 - named by the protocol
        self,
        request: pb.ListPodResourcesRequest,
        context: aio.ServicerContext[pb.ListPodResourcesRequest, Awaitable[pb.ListPodResourcesResponse]],
    ) -> pb.ListPodResourcesResponse:
        self.asked += 1
        self.on_question()
        return pb.ListPodResourcesResponse(pod_resources=self.pods)

    def run(self, pod: str, *devices: str, claims: tuple[str, ...] = ()) -> None:
        """A pod with one container, listed as the kubelet does: one entry per device."""
        container = pb.ContainerResources(
            name="server",
            devices=[pb.ContainerDevices(resource_name="nvidia.com/gpu", device_ids=[one]) for one in devices],
            dynamic_resources=[
                pb.DynamicResource(
                    claim_name="the-claim",
                    claim_namespace="models",
                    claim_resources=[
                        pb.ClaimResource(
                            driver_name="gpu.nvidia.com",
                            pool_name="node",
                            device_name=one,
                            cdi_devices=[pb.CDIDevice(name=f"k8s.gpu.nvidia.com/claim=uid-{one}")],
                        )
                    ],
                )
                for one in claims
            ],
        )
        self.pods.append(pb.PodResources(name=pod, namespace="models", containers=[container]))


@asynccontextmanager
async def kubelet(socket: Path) -> AsyncIterator[FakeKubelet]:
    """A PodResources server on a real socket."""
    fake = FakeKubelet()
    server = aio.server()
    add_PodResourcesListerServicer_to_server(fake, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(None)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "kubelet.sock"


Follow = Callable[..., tuple[KubeletFollower, OwnerBook]]


@pytest.fixture
def follow(socket: Path, clock: "FakeClock") -> Follow:
    def build(
        *devices: DeviceInfo, changes: PodChanges | None = None, period_seconds: float = 3600
    ) -> tuple[KubeletFollower, OwnerBook]:
        book = OwnerBook(monotonic_ns=lambda: clock.now_ns)
        changes = changes or PodChanges(None)
        follower = KubeletFollower(
            socket=socket, devices=devices or DEVICES, book=book, changes=changes, period_seconds=period_seconds
        )
        return follower, book

    return build


async def test_the_kubelet_is_asked_over_its_socket(socket: Path, follow: Follow) -> None:
    follower, book = follow()
    async with kubelet(socket) as fake:
        fake.run("llama", A, B)
        fake.run("without-devices")
        await follower.poll()
    assert book.of(A) == book.of(B) == Owners(containers=(owner(),), known=True)


async def test_claims_are_read_too(socket: Path, follow: Follow) -> None:
    follower, book = follow()
    async with kubelet(socket) as fake:
        fake.run("llama", claims=("gpu-1",))
        await follower.poll()
    assert book.of(A).containers == (owner(claim="the-claim"),)
    assert book.of(B) == Owners(known=True)  # known to be nobody's


async def test_a_pod_that_ended_owns_nothing_any_more(socket: Path, follow: Follow) -> None:
    follower, book = follow()
    async with kubelet(socket) as fake:
        fake.run("llama", A)
        await follower.poll()
        fake.pods.clear()
        await follower.poll()
    assert book.of(A) == Owners(known=True)


async def test_a_socket_that_vanishes_and_comes_back(
    socket: Path, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="joulebench_exporter.kubelet")
    follower, book = follow()
    async with kubelet(socket) as fake:
        fake.run("llama", A)
        await follower.poll()
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing else runs here
    for _ in range(3):
        await follower.poll()
    away = book.of(A)
    async with kubelet(socket) as fake:
        fake.run("llama", A)
        await follower.poll()
    assert away.containers == (owner(),)
    assert "the kubelet does not answer" in away.problem
    assert book.of(A) == Owners(containers=(owner(),), known=True)
    assert [record.message for record in caplog.records] == ["owners are not known", "owners are known again"]


# --- changes ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def following(follower: KubeletFollower) -> AsyncIterator[None]:
    """The follower at work."""
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def reached(told: Callable[[], bool]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(20):
        while not told():  # noqa: ASYNC110 - the book has no event
            await asyncio.sleep(0.005)


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    """The folder in which the kubelet makes the control groups of pods."""
    (tmp_path / "cgroup" / "kubepods").mkdir(parents=True)
    (tmp_path / "cgroup" / "cgroup.procs").touch()
    return tmp_path / "cgroup" / "kubepods"


async def test_a_pod_that_comes_is_asked_for_at_once(socket: Path, follow: Follow, pods: Path) -> None:
    async with kubelet(socket) as fake:
        with PodChanges(pods.parent) as changes:
            follower, book = follow(changes=changes)  # it would ask again in an hour
            async with following(follower):
                await reached(lambda: book.of(A).known)
                fake.run("llama", A)
                (pods / "pod1").mkdir()
                await reached(lambda: book.of(A).containers == (owner(),))
                assert book.late == ""

                fake.pods.clear()
                fake.run("other", A)
                (pods / "pod1").rmdir()
                (pods / "pod2").mkdir()
                await reached(lambda: book.of(A).containers == (owner(pod="other"),))


async def test_where_the_answer_is_what_it_was_the_kubelet_is_asked_once_more(
    socket: Path, follow: Follow, pods: Path
) -> None:
    async with kubelet(socket) as fake:
        with PodChanges(pods.parent) as changes:
            follower, book = follow(changes=changes)
            async with following(follower):
                await reached(lambda: book.of(A).known)
                # The pod's group is there when the second question comes, the pod itself with the third one.
                fake.on_question = lambda: fake.run("llama", A) if fake.asked == 3 else None
                (pods / "pod1").mkdir()
                await reached(lambda: book.of(A).containers == (owner(),))
    assert fake.asked == 3


async def test_many_pods_that_come_together_are_asked_for_together(socket: Path, follow: Follow, pods: Path) -> None:
    def come() -> None:
        if fake.asked == 2:
            for number in range(100):
                (pods / f"pod{number}").mkdir()
        fake.run(f"pod-{fake.asked}", A)

    async with kubelet(socket) as fake:
        fake.on_question = come
        with PodChanges(pods.parent) as changes:
            follower, book = follow(changes=changes)
            async with following(follower):
                await reached(lambda: book.of(A).known)
                (pods / "pod").mkdir()
                await reached(lambda: book.version == 3)
    assert fake.asked == 3


async def test_without_control_groups_the_kubelet_is_asked_each_period_and_that_is_said_once(
    socket: Path, follow: Follow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with kubelet(socket) as fake:
        with PodChanges(tmp_path) as changes:
            follower, book = follow(changes=changes, period_seconds=0.1)
            async with following(follower):
                await reached(lambda: book.of(A).known)
                fake.run("llama", A)
                await reached(lambda: book.of(A).containers == (owner(),))
                asked = fake.asked
                await reached(lambda: fake.asked > asked + 1)
    assert book.late == f"there is no control group kubepods in {tmp_path}"
    assert [record.message for record in caplog.records] == ["changes of owners are seen each period only"]


async def test_groups_that_appear_later_are_watched_from_the_next_question_on(
    socket: Path, follow: Follow, tmp_path: Path
) -> None:
    async with kubelet(socket):
        with PodChanges(tmp_path) as changes:
            follower, book = follow(changes=changes, period_seconds=0.1)
            async with following(follower):
                await reached(lambda: bool(book.late))
                (tmp_path / "cgroup.procs").touch()
                (tmp_path / "kubepods.slice").mkdir()
                await reached(lambda: not book.late)


def test_a_change_of_owners_bears_the_time_at_which_it_was_learned(clock: "FakeClock") -> None:
    book = OwnerBook(monotonic_ns=lambda: clock.now_ns)
    mine, others = (Owners(containers=(owner(pod=pod),), known=True) for pod in ("llama", "other"))
    assert book.of(A).since_ns is None
    clock.now_ns = 100
    book.write({A: mine, B: mine})
    clock.now_ns = 200
    book.write({A: mine, B: mine})
    book.write({A: mine, B: others})
    assert (book.of(A).since_ns, book.of(B).since_ns) == (100, 200)


async def test_the_stream_tells_owners_once_and_then_their_changes(
    serve: "ServeExporter", socket: Path, follow: Follow
) -> None:
    follower, book = follow(device("gpu-0"))
    async with kubelet(socket) as fake, serve(owners=book) as exporter, exporter.client() as client:
        fake.run("llama", "gpu-0")
        began_ns = exporter.clock.now_ns
        await follower.poll()
        description = await client.describe()
        batches = client.watch()
        first = await anext(batches)
        fake.run("other", "gpu-0::1")
        exporter.clock.now_ns += 7
        told_ns = exporter.clock.now_ns
        await follower.poll()
        exporter.tick()
        second = await anext(batches)
        exporter.tick()
        third = await anext(batches)
    assert description.devices[0].owners == first.owners == Owners(containers=(owner(),), known=True)
    assert description.devices[0].owners.since_ns == first.owners.since_ns == began_ns
    assert second.owners.since_ns == third.owners.since_ns == told_ns
    assert second.owners == third.owners
    assert second.owners.shared
