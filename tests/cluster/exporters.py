"""The energy exporter as a DaemonSet, and tests as its clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.fakegpu import gpus
from tests.cluster.images.products import product
from tests.cluster.manifests import manifest
from tests.cluster.relay import relayed

from joulebench_api.contracts.ports import EXPORTER_GRPC_PORT, EXPORTER_HTTP_PORT
from joulebench_exporter.client import ExporterClient, ExporterUnavailableError, Owners, TickBatch, TickFlag

NAMESPACE: Final = "joulebench-system"
CALLERS_NAMESPACE: Final = "benchmarks"
"""Whose service accounts may read."""
AUDIENCE: Final = "joulebench-exporter"

_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Exporter:
    """The exporter of one node."""

    cluster: Cluster
    node: str = "node0"

    @classmethod
    def deploy(
        cls, cluster: Cluster, *, node: str = "node0", boot_offset_seconds: int = 0, owners_seconds: int = 5
    ) -> "Exporter":
        """Roll it out, and wait until it is ready.

        Its clock is ahead by `boot_offset_seconds`, as on a machine that runs longer. Each `owners_seconds` it asks who
        has which GPU, even if no pod was seen to come or go.
        """
        image = product("exporter")
        cluster.load_image(image.archive, nodes=[node])
        variables = gpus.variables()
        text = manifest(
            "exporter",
            EXPORTER_NAMESPACE=NAMESPACE,
            CALLERS_NAMESPACE=CALLERS_NAMESPACE,
            EXPORTER_IMAGE=image.name,
            NODE=node,
            BOOT_OFFSET=f"{boot_offset_seconds}s",
            OWNERS_PERIOD=f"{owners_seconds}s",
            GRPC_PORT=str(EXPORTER_GRPC_PORT),
            HTTP_PORT=str(EXPORTER_HTTP_PORT),
            GPU_FOLDER=str(gpus.FOLDER),
            GPU_LIBRARY=variables["LD_LIBRARY_PATH"],
            GPU_BOARDS=variables["JOULEBENCH_NVML_STUB"],
        )
        cluster.kubectl("apply", "--server-side", "-f", "-", text=text)
        deployed = cls(cluster, node)
        deployed.ready()
        return deployed

    def ready(self) -> None:
        """Wait until its newest pod is ready."""
        rollout = ("rollout", "status", f"daemonset/joulebench-exporter-{self.node}", f"--namespace={NAMESPACE}")
        self.cluster.kubectl(*rollout, "--timeout=60s", timeout_seconds=70)

    def replace(self) -> None:
        """Delete its pod at once, and wait until the next one is ready."""
        before = self.pod["metadata"]["name"]
        self.cluster.kubectl("delete", "pod", before, f"--namespace={NAMESPACE}", "--now")
        self.cluster.wait(lambda: any(map(_is_ready, self._pods())), what="the next exporter")

    def stop(self) -> None:
        """Take it away from its node, and wait until it is gone."""
        name = (f"daemonset/joulebench-exporter-{self.node}", f"--namespace={NAMESPACE}")
        self.cluster.kubectl("delete", *name, "--cascade=foreground", "--timeout=30s")

    def remove(self) -> None:
        """Take it away again, with those of all other nodes, and their callers."""
        self.cluster.kubectl("delete", "namespace", NAMESPACE, CALLERS_NAMESPACE, "--ignore-not-found")
        self.cluster.kubectl("delete", "clusterrole,clusterrolebinding", "joulebench-exporter")

    @property
    def pod(self) -> dict[str, Any]:
        """Its pod."""
        (pod,) = self._pods()
        return pod

    def _pods(self) -> list[dict[str, Any]]:
        """Those on its node that stay."""
        found = json.loads(self.cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=json"))["items"]
        staying = (one for one in found if "deletionTimestamp" not in one["metadata"])
        return [one for one in staying if one["spec"].get("nodeName") == self.node]

    def in_container(self, *command: str) -> str:
        """What a command says that is run beside it."""
        return self.cluster.kubectl(
            "exec", f"--namespace={NAMESPACE}", self.pod["metadata"]["name"], "--", *command
        ).strip()

    def logs(self) -> str:
        """What it has written, also before it was started again."""
        name = (f"--namespace={NAMESPACE}", self.pod["metadata"]["name"])
        try:
            before = self.cluster.kubectl("logs", *name, "--previous")
        except ClusterError:
            before = ""  # it was not started again
        return before + self.cluster.kubectl("logs", *name)

    @asynccontextmanager
    async def client(self, token: Path | None) -> AsyncIterator[ExporterClient]:
        """A client of it, as in a pod; it presents the token in the file."""
        address = self.pod["status"]["podIP"]
        async with (
            relayed(self.cluster.namespace_path, address, EXPORTER_GRPC_PORT) as target,
            ExporterClient(target, token_file=token) as client,
        ):
            yield client

    def page(self, path: str) -> str:
        """What it says to a scraper, in the cluster's network."""
        url = f"http://{self.pod['status']['podIP']}:{EXPORTER_HTTP_PORT}{path}"
        fetch = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=5).read().decode())"
        return self.cluster.run(["python3", "-c", fetch])


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@dataclass
class Watched:
    """What a stream has told so far."""

    owners: dict[str, Owners] = field(default_factory=dict)
    """Of each device, by the newest batch."""
    last: dict[str, TickBatch] = field(default_factory=dict)
    """The newest batch of each device."""
    flags: dict[str, TickFlag] = field(default_factory=dict)
    """Of all ticks of each device together."""
    instances: list[str] = field(default_factory=list)
    """The exporters that told, each start being one."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def pods(self) -> Mapping[str, str]:
        """The pod that has each device; devices that nobody has are left out."""
        return {uuid: one.pod for uuid, owners in self.owners.items() for one in owners.containers}

    def energy_mj(self, uuid: str) -> int:
        """What a device has used since the exporter's start, by the newest tick."""
        return self.last[uuid].energy_mj[-1]

    async def until(self, told: Callable[[], bool], *, what: str) -> None:
        """Wait until the stream has told something."""
        try:
            async with asyncio.timeout(_SECONDS):
                while not told():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{what}: not within {_SECONDS:g} s; owners: {dict(self.pods())}") from None

    async def follow(self, client: ExporterClient) -> None:
        """Take in a stream until cancelled, and the next one where it breaks off."""
        while True:
            try:
                async for batch in client.watch():
                    self._take(batch)
            except ExporterUnavailableError:
                # It was killed; whoever comes next listens soon.
                await asyncio.sleep(0.1)

    def _take(self, batch: TickBatch) -> None:
        if batch.exporter not in self.instances:
            self.instances.append(batch.exporter)
            self.flags.clear()
        self.owners[batch.device] = batch.owners
        for flag in batch.flags:
            self.flags[batch.device] = self.flags.get(batch.device, TickFlag.NONE) | TickFlag(flag)
        if batch.time_ns:
            self.last[batch.device] = batch
        self._news.set()


@asynccontextmanager
async def watching(client: ExporterClient) -> AsyncIterator[Watched]:
    """The stream of an exporter, taken in for as long as the block runs."""
    watched = Watched()
    task = asyncio.create_task(watched.follow(client))
    try:
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
