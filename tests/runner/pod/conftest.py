"""A runner pod without a cluster: meter and driver as real processes; simulators and exporters are the nodes."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from grpc import aio

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.meter import Begin, DriverDone, Finish, Plan, PlanReply, ResolvedTask, Stage, StageEvent
from joulebench_api.contracts.summary import Summary
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_exporter.proto import podresources_pb2 as pb
from joulebench_exporter.proto.podresources_pb2_grpc import (
    PodResourcesListerServicer,
    add_PodResourcesListerServicer_to_server,
)
from joulebench_runner.config import DriverSettings, EnergySettings, MeterSettings, TaskSettings, Upstream
from joulebench_runner.journal.reader import JournalContents, read
from joulebench_runner.meter.control_client import ControlClient

DEADLINE_SECONDS = 60.0
METER_WITH_NAMES = (Path(__file__).with_name("meter_with_names.py"),)


@dataclass
class Process:
    """One real process and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def exit_code(self) -> int:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def words(self) -> str:
        return f"{self.name}:\n{self.log.read_text()}"


@dataclass
class Ground:
    """The machine: starts processes and leaves none."""

    folder: Path
    stack: AsyncExitStack
    started: int = 0

    async def start(self, name: str, *words: object, env: Mapping[str, str] | None = None) -> Process:
        self.started += 1
        path = self.folder / f"{self.started}-{name}.log"
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *map(str, words), stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )
        made = Process(name, process, path)
        self.stack.push_async_callback(made.end)
        return made

    async def simulator(
        self, *, host: str, port: int, env: Mapping[str, str] | None = None, **flags: object
    ) -> Process:
        """A model server at an address, up when this returns."""
        ready = self.folder / f"simulator-{host}-{self.started}.json"
        words = [word for name, value in flags.items() for word in _flag(name, value)]
        named = ("--host", host, "--port", port, "--ready-file", ready)
        made = await self.start("simulator", "-m", "joulebench_simulator", *named, *words, env=env)
        await self.file(ready, by=made)
        return made

    async def exporter(self, listen: str, *, devices: list[Path], **flags: object) -> Process:
        """An exporter of simulated devices, up when this returns."""
        ready = self.folder / f"exporter-{self.started}.json"
        files = [word for path in devices for word in ("--device-file", path)]
        words = [word for name, value in flags.items() for word in _flag(name, value)]
        made = await self.start(
            "exporter", "-m", "joulebench_exporter", "--listen", listen, "--sensor", "simulated", "--ready-file", ready,
            "--period", "5ms", "--tick", "20ms", "--batch", "50ms", *files, *words,
        )  # fmt: skip
        await self.file(ready, by=made)
        return made

    async def file(self, path: Path, *, by: Process) -> None:
        """Wait until a process has written a file."""
        await self.until(path.exists, by=by)

    async def until(self, condition: Callable[[], bool], *, by: Process) -> None:
        """Poll until something holds; fails when the process ends before."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                assert by.process.returncode is None, f"ended with {by.process.returncode}: {by.words()}"
                await asyncio.sleep(0.02)


def _flag(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    return [flag] if value is True else [word for one in _several(value) for word in (flag, str(one))]


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


@dataclass
class Pod:
    """A runner pod: one folder of settings and sockets, one of results."""

    ground: Ground
    folder: Path
    results: Path
    run_id: str = "run-1"
    meter: Process | None = None
    driver: Process | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def termination(self) -> TerminationMessage:
        data = (self.folder / "termination-log").read_bytes()
        assert len(data) < 4096
        return TerminationMessage.model_validate_json(data)

    @property
    def summary(self) -> Summary:
        return Summary.model_validate_json((self.results / "summary.json").read_bytes())

    def journal(self) -> JournalContents:
        return read(self.results / "journal")

    def meter_settings(self, upstreams: list[Upstream], **more: Any) -> MeterSettings:
        fields: dict[str, Any] = {
            "run_id": self.run_id,
            "run_name": "a-run",
            "run_dir": self.results,
            "control_socket": self.folder / "control.sock",
            "ready_file": self.folder / "ready.json",
            "outcome_file": self.folder / "meter-outcome.json",
            "termination_file": self.folder / "termination-log",
            "upstreams": upstreams,
            "energy": EnergySettings(policy="Disabled"),
            "bring_back": True,
            "scrape_interval_seconds": 0.2,
        }
        return MeterSettings(**(fields | more))

    def driver_settings(self, questions: int, **more: Any) -> DriverSettings:
        fields: dict[str, Any] = {
            "run_id": self.run_id,
            "run_dir": self.results,
            "control_socket": self.folder / "control.sock",
            "ready_file": self.folder / "ready.json",
            "meter_outcome_file": self.folder / "meter-outcome.json",
            "task": TaskSettings(name="everyday", limit=questions, params={"level": 1}),
            "warmup_queries": 0,
            "baseline_seconds": 0.0,
            "concurrency": 4,
        }
        return DriverSettings(**(fields | more))

    def names(self, **addresses: list[str]) -> None:
        """What the meter's name server says from now on."""
        draft = self.folder / "names.new"
        draft.write_text(json.dumps(addresses))
        draft.replace(self.folder / "names.json")
        self.env["NAMES_FILE"] = str(self.folder / "names.json")

    async def start_meter(self, settings: MeterSettings) -> Process:
        settings.write(self.folder / "meter.json")
        program = METER_WITH_NAMES if "NAMES_FILE" in self.env else ("-m", "joulebench_runner.meter")
        words = (*program, "--settings", self.folder / "meter.json")
        self.meter = await self.ground.start("meter", *words, env=self.env)
        return self.meter

    async def start_driver(self, settings: DriverSettings) -> Process:
        settings.write(self.folder / "driver.json")
        words = ("-m", "joulebench_runner.driver", "--settings", self.folder / "driver.json")
        self.driver = await self.ground.start("driver", *words, env=self.env)
        return self.driver

    async def start(self, meter: MeterSettings, driver: DriverSettings) -> None:
        await self.start_meter(meter)
        await self.start_driver(driver)

    async def exit_codes(self) -> tuple[int, int]:
        """Of driver and meter."""
        assert self.driver is not None
        assert self.meter is not None
        return await self.driver.exit_code(), await self.meter.exit_code()

    def words(self) -> str:
        return "\n".join(one.words() for one in (self.driver, self.meter) if one is not None)


class Asker:
    """A driver in the test's own process: the real one takes seconds to start."""

    def __init__(self, pod: Pod, session: aiohttp.ClientSession) -> None:
        self.control = ControlClient(pod.folder / "control.sock")
        self.attending: asyncio.Task[str] | None = None
        self._pod = pod
        self._session = session
        self._asked = 0

    async def begin(self, questions: int) -> PlanReply:
        """Be there, wait for the server, plan, and begin the measured window; what the meter said of the plan."""
        assert self._pod.meter is not None
        await self._pod.ground.file(self._pod.folder / "ready.json", by=self._pod.meter)
        self.attending = asyncio.create_task(self.control.attend())
        await self.control.ready()
        task = ResolvedTask(name="everyday", revision="r", records=questions, sha256="0")
        reply = await self.control.plan(Plan(task=task, query_ids=[f"{number:016x}" for number in range(questions)]))
        await self.control.stage(StageEvent(stage=Stage.STARTUP, event="end"))
        await self.control.stage(StageEvent(stage=Stage.RUN, event="start"))
        return reply

    def skip(self) -> "Asker":
        """Leave the next question out."""
        self._asked += 1
        return self

    async def ask(self) -> str:
        """Ask the next question through the meter; what came back."""
        query, self._asked = f"{self._asked:016x}", self._asked + 1
        messages: list[Any] = [{"role": "user", "content": f"What is {query}?"}]
        await self.control.begin(Begin(query_id=query, task="everyday", record_id=query, messages=messages))
        proxy = json.loads((self._pod.folder / "ready.json").read_text())["proxy_url"]
        body = {"model": "model", "messages": messages}
        async with self._session.post(f"{proxy}/m/model/q/{query}.0/v1/chat/completions", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
        text = str(answer["choices"][0]["message"]["content"])
        await self.control.finish(Finish(query_id=query, response=text, score=1, correct=True, scorer="exact"))
        return text

    async def done(self) -> int:
        """End in order; the meter's exit code."""
        assert self._pod.meter is not None
        await self.control.stage(StageEvent(stage=Stage.RUN, event="end"))
        await self.control.driver_done(DriverDone(outcome="completed"))
        return await self._pod.meter.exit_code()

    async def close(self) -> None:
        if self.attending is not None:
            self.attending.cancel()
            await asyncio.wait([self.attending])
        await self.control.close()


@pytest.fixture
async def asker(ground: "Ground") -> Callable[[Pod], Awaitable[Asker]]:
    """Make an asker for a pod whose meter has been started."""

    async def make(pod: Pod) -> Asker:
        session = await ground.stack.enter_async_context(aiohttp.ClientSession())
        made = Asker(pod, session)
        ground.stack.push_async_callback(made.close)
        return made

    return make


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        yield Ground(tmp_path, stack)


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="jb-pod-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def new_pod(ground: Ground, sockets: Path, tmp_path: Path) -> Callable[..., Pod]:
    """Make a pod; `results` names its results folder, which pods may share."""
    made = 0

    def make(*, results: str = "results", **more: Any) -> Pod:
        nonlocal made
        made += 1
        folder = sockets / str(made)
        folder.mkdir()
        return Pod(ground, folder, tmp_path / results, **more)

    return make


@pytest.fixture
def port() -> int:
    """Free on all loopback addresses, very likely."""
    with socket.create_server(("0.0.0.0", 0)) as probe:
        found: int = probe.getsockname()[1]
    return found


@pytest.fixture
def upstream(port: int) -> Callable[..., Upstream]:
    """The model under test, at addresses or (without any) where the topology says."""

    def make(*hosts: str, **more: Any) -> Upstream:
        urls = [f"http://{host}:{port}/v1" for host in hosts]
        known: dict[str, Any] = {"alias": "model", "role": "model", "model": "simulator", "base_urls": urls}
        return Upstream(**(known | {"metrics_path": "/metrics"} | more))

    return make


@dataclass
class ConfigMap:
    """A mounted ConfigMap: a file behind a link that is swapped, as the kubelet does."""

    folder: Path
    version: int = 0

    @property
    def path(self) -> Path:
        return self.folder / "topology.json"

    def write(self, content: Mapping[str, Any]) -> None:
        self.version += 1
        data = self.folder / f"..{self.version}"
        data.mkdir(parents=True)
        (data / "topology.json").write_text(json.dumps({"generation": self.version, **content}))
        link = self.folder / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self.folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/topology.json")


@pytest.fixture
def config_map(tmp_path: Path) -> ConfigMap:
    (tmp_path / "topology").mkdir()
    return ConfigMap(tmp_path / "topology")


class Kubelet(PodResourcesListerServicer):
    """Says which pod has which devices: whatever `owners` holds."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.owners: dict[tuple[str, str], list[str]] = {}
        """Device UUIDs by (namespace, pod)."""

    async def List(  # noqa: N802 - named by the protocol
        self,
        request: pb.ListPodResourcesRequest,
        context: aio.ServicerContext[pb.ListPodResourcesRequest, Awaitable[pb.ListPodResourcesResponse]],
    ) -> pb.ListPodResourcesResponse:
        pods = [
            pb.PodResources(
                name=pod,
                namespace=namespace,
                containers=[
                    pb.ContainerResources(
                        name="server",
                        devices=[pb.ContainerDevices(resource_name="nvidia.com/gpu", device_ids=devices)],
                    )
                ],
            )
            for (namespace, pod), devices in self.owners.items()
        ]
        return pb.ListPodResourcesResponse(pod_resources=pods)


@pytest.fixture
async def kubelet(ground: Ground, sockets: Path) -> AsyncIterator[Callable[[], Awaitable[Kubelet]]]:
    """Start a kubelet's socket."""
    servers: list[aio.Server] = []

    async def make() -> Kubelet:
        path = sockets / f"kubelet-{len(servers)}.sock"
        server, made = aio.server(), Kubelet(str(path))
        servers.append(server)
        add_PodResourcesListerServicer_to_server(made, server)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        return made

    yield make
    for server in servers:
        await server.stop(0)


@dataclass
class Place:
    """Everything around a pod."""

    ground: Ground
    new_pod: Callable[..., Pod]
    upstream: Callable[..., Upstream]
    port: int
    config_map: ConfigMap
    kubelet: Callable[[], Awaitable[Kubelet]]
    sockets: Path
    gpu: EnergySettings
    asker: Callable[[Pod], Awaitable[Asker]]

    def device(self, name: str) -> Path:
        """Where a simulator of this name shows its device."""
        return self.sockets / f"{name}.device"


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    return Place(**{name: request.getfixturevalue(name) for name in Place.__dataclass_fields__})


@pytest.fixture
def gpu() -> EnergySettings:
    """What a pod measures: accelerators, wherever they are."""
    return EnergySettings(domains=[Domain.GPU], policy="Required")
