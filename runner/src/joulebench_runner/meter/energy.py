"""Follows the energy exporters: all they tell goes into the journal, and the live figures are kept."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.meter import EnergyState
from joulebench_api.contracts.topology import Topology
from joulebench_runner.config import EnergySettings
from joulebench_runner.errors import EnergyError
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.clock import best_offset_ns
from joulebench_runner.meter.exporter import Description, Device, Exporter, Look, Owners, Ping, Ticks
from joulebench_runner.ownership import OWNED, OwnPods

BURST_PINGS: Final = 8
PING_SECONDS: Final = 5.0
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 5.0
_WATTS_WINDOW_NS: Final = 3_000_000_000
_PINGS_KEPT: Final = 64


def select_devices(devices: Iterable[Device], domains: Iterable[Domain]) -> list[Device]:
    """The devices of the wanted domains. PSYS contains the packages, so with CPU wanted and there, it is left out."""
    wanted = set(domains)
    selected = [device for device in devices if device.domain in wanted]
    if any(device.domain == Domain.CPU for device in selected):
        selected = [device for device in selected if device.domain != Domain.PSYS]
    return selected


class LiveDevice:
    """The latest figures of one counter."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque()
        self._seen_mj = 0
        self._run_mark_mj: int | None = None
        self.last_ns: int | None = None
        """The latest tick, in the exporter's clock."""

    def restarted(self) -> None:
        """The exporter is another one now: its energies begin at 0 again."""
        self._recent.clear()
        self.last_ns = None

    def on_ticks(self, ticks: Ticks) -> None:
        """Take a batch."""
        for time_ns, energy_mj in zip(ticks.time_ns, ticks.energy_mj, strict=True):
            if self._recent:
                self._seen_mj += energy_mj - self._recent[-1][1]
            self._recent.append((time_ns, energy_mj))
            self.last_ns = time_ns
        while len(self._recent) > 2 and self._recent[-1][0] - self._recent[0][0] > _WATTS_WINDOW_NS:
            self._recent.popleft()

    def mark_run(self) -> None:
        """The measured window begins now."""
        self._run_mark_mj = self._seen_mj

    @property
    def joules(self) -> float | None:
        """Since the measured window began; None before."""
        return None if self._run_mark_mj is None else (self._seen_mj - self._run_mark_mj) / 1000

    @property
    def watts(self) -> float | None:
        """Mean over the last seconds; None below two ticks."""
        if len(self._recent) < 2:
            return None
        (start_ns, start_mj), (end_ns, end_mj) = self._recent[0], self._recent[-1]
        return (end_mj - start_mj) * 1e6 / (end_ns - start_ns) if end_ns > start_ns else None


class Follower:
    """Follows one exporter until it is cancelled; comes back after every break and goes on where it stopped."""

    def __init__(
        self,
        target: str,
        *,
        domains: Sequence[Domain],
        connect: Callable[[str], Exporter],
        journal: Journal,
        changed: asyncio.Event,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_ours: Callable[[Device, Owners | None], bool] = lambda _device, _owners: True,
    ) -> None:
        """`changed` is set whenever ticks came. `is_ours` says whether a device counts, by who has it (None: not told
        yet)."""
        self.problem: str | None = f"the energy exporter at {target} has not answered yet"
        self.devices: dict[str, Device] = {}
        self.live: dict[str, LiveDevice] = {}
        self.idle = False
        """Whether it will never have anything to follow."""
        self._target = target
        self._domains = domains
        self._connect = connect
        self._journal = journal
        self._changed = changed
        self._sleep = sleep
        self._instance_id = ""
        self._after: dict[str, int] = {}
        self._pings: deque[Ping] = deque(maxlen=_PINGS_KEPT)
        self._failures = 0
        self._is_ours = is_ours
        self._owners: dict[str, Owners] = {}

    def counted(self) -> Iterator[tuple[Device, LiveDevice]]:
        """The devices that serve the run now, with their latest figures."""
        for uuid, device in self.devices.items():
            if self._is_ours(device, self._owners.get(uuid)):
                yield device, self.live[uuid]

    async def run(self) -> None:
        """Follow, and try again after every failure."""
        while not self.idle:
            try:
                exporter = self._connect(self._target)
                try:
                    await self._follow(exporter)
                finally:
                    await exporter.close()
            except EnergyError as error:
                self.problem = f"the energy exporter at {self._target} does not answer: {error.message}"
            if not self.idle:
                delay = min(FIRST_DELAY_SECONDS * 2**self._failures, LONGEST_DELAY_SECONDS)
                self._failures = min(self._failures + 1, 10)
                await self._sleep(delay)

    def is_past(self, time_ns: int) -> bool:
        """Whether every device has a tick at or after a time of our clock."""
        offset = best_offset_ns(self._pings)
        if self.idle:
            return True
        if offset is None or not self.live:
            return False
        return all(live.last_ns is not None and live.last_ns - offset >= time_ns for live in self.live.values())

    async def _follow(self, exporter: Exporter) -> None:
        description = await exporter.describe()
        self._meet(description)
        if self.idle:
            return
        for _ in range(BURST_PINGS):
            await self._ping(exporter)
        pinging = asyncio.create_task(self._keep_pinging(exporter))
        try:
            ticks = exporter.watch(after=self._after, instance_id=self._instance_id, devices=list(self.devices))
            async for batch in ticks:
                self._on_ticks(batch)
        finally:
            pinging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pinging

    def _meet(self, description: Description) -> None:
        """Find out who answers and what of it is wanted."""
        devices = select_devices(description.devices, self._domains)
        if not devices:
            has = ", ".join(sorted({device.domain.value for device in description.devices})) or "nothing"
            wanted = ", ".join(domain.value for domain in self._domains)
            self.problem = f"the energy exporter at {self._target} measures {has}; wanted is {wanted}"
            self.idle = True
            self._changed.set()
            return
        if description.instance_id != self._instance_id:
            # Sequence numbers and energies belong to an instance.
            self._instance_id = description.instance_id
            self._after.clear()
            self._owners.clear()
            self._pings.clear()
            for live in self.live.values():
                live.restarted()
        self.devices = {device.uuid: device for device in devices}
        for uuid in self.devices:
            self.live.setdefault(uuid, LiveDevice())
        for device in devices:
            self._journal.append(Kind.DEVICE, **_device_row(description, device))

    async def _keep_pinging(self, exporter: Exporter) -> None:
        while True:
            await self._sleep(PING_SECONDS)
            # The watch notices when the exporter is gone; one lost ping is no reason to give up.
            with contextlib.suppress(EnergyError):
                await self._ping(exporter)

    async def _ping(self, exporter: Exporter) -> None:
        ping = await exporter.ping()
        self._pings.append(ping)
        self._journal.append(
            Kind.PING,
            exporter=ping.instance_id,
            boot_id=ping.boot_id,
            t0_ns=ping.t0_ns,
            t1_ns=ping.t1_ns,
            t2_ns=ping.t2_ns,
            t3_ns=ping.t3_ns,
        )

    def _on_ticks(self, ticks: Ticks) -> None:
        if ticks.device not in self.devices or not ticks.time_ns:
            return
        if ticks.missed_ticks:
            message = f"{ticks.missed_ticks} ticks before {ticks.first_sequence} are no longer in the exporter's memory"
            self._journal.append(Kind.NOTE, topic="missed_ticks", subject=ticks.device, message=message)
        self._journal.append(
            Kind.TICKS,
            exporter=ticks.exporter,
            device=ticks.device,
            first_sequence=ticks.first_sequence,
            time_ns=list(ticks.time_ns),
            bracket_ns=list(ticks.bracket_ns),
            energy_mj=list(ticks.energy_mj),
            flags=list(ticks.flags),
        )
        if ticks.owners != self._owners.get(ticks.device):
            self._owners[ticks.device] = ticks.owners
            self._journal.append(Kind.OWNERS, **_owners_row(ticks))
        if ticks.look is not None:
            self._journal.append(Kind.LOOK, **_look_row(ticks, ticks.look))
        self._after[ticks.device] = ticks.first_sequence + len(ticks.time_ns) - 1
        self.live[ticks.device].on_ticks(ticks)
        self.problem = None
        self._failures = 0
        self._changed.set()


class Energy:
    """All exporters of a run."""

    def __init__(
        self,
        settings: EnergySettings,
        *,
        connect: Callable[[str], Exporter],
        journal: Journal,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        from_topology: bool = False,
    ) -> None:
        """With policy Disabled, or a problem that is known beforehand, nothing is followed.

        `from_topology`: exporters will be named by a topology.
        """
        self._changed = asyncio.Event()
        self._settings = settings
        self._connect = connect
        self._journal = journal
        self._sleep = sleep
        self._servers: OwnPods | None = None
        """Whose devices count; None: all."""
        self._topology_came = asyncio.Event()
        self._problem = _known_problem(settings, from_topology=from_topology)
        self._follows = settings.policy != "Disabled" and settings.problem is None
        self._from_topology = from_topology and self._follows
        self._by_target = {target: self._follower(target) for target in (settings.exporters if self._follows else ())}

    def _follower(self, target: str) -> Follower:
        return Follower(
            target,
            domains=self._settings.domains,
            connect=self._connect,
            journal=self._journal,
            changed=self._changed,
            sleep=self._sleep,
            is_ours=self._is_ours,
        )

    def on_topology(self, topology: Topology) -> None:
        """Follow the exporters that are named now, and those that were configured; count the devices of its pods."""
        self._servers = (self._servers or OwnPods()).seen(topology)
        if not self._from_topology:
            return
        targets = [*self._settings.exporters, *(exporter.address for exporter in topology.exporters)]
        self._by_target = {target: self._by_target.get(target) or self._follower(target) for target in targets}
        self._problem = None if targets else "the topology names no energy exporter"
        self._topology_came.set()
        self._topology_came = asyncio.Event()

    async def run(self) -> None:
        """Follow all until cancelled, whatever comes and goes."""
        following: dict[Follower, asyncio.Task[None]] = {}
        try:
            while True:
                change = asyncio.ensure_future(self._topology_came.wait())
                await _cancelled([following.pop(one) for one in following.keys() - set(self._followers)])
                following |= {
                    one: asyncio.create_task(one.run(), name="exporter")
                    for one in set(self._followers) - set(following)
                }
                running = [task for task in following.values() if not task.done()]
                waiting = [*running, *([change] if self._from_topology else [])]
                try:
                    if not waiting:
                        return
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    change.cancel()
                for task in following.values():
                    if task.done():
                        task.result()  # raises what ended it, which only a defect can
        finally:
            await _cancelled([*following.values()])

    @property
    def _followers(self) -> list[Follower]:
        return list(self._by_target.values())

    def _is_ours(self, device: Device, owners: Owners | None) -> bool:
        if device.domain not in OWNED or not self._from_topology:
            return True
        if self._servers is None or owners is None:
            return False
        return bool(self._servers.own((one.namespace, one.pod) for one in owners.containers))

    def mark_run(self) -> None:
        """The measured window begins now."""
        for follower in self._followers:
            for live in follower.live.values():
                live.mark_run()

    async def wait_past(self, time_ns: int, *, timeout_seconds: float) -> bool:
        """Wait until every device has a tick at or after `time_ns` of our clock; False if it took too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while not all(follower.is_past(time_ns) for follower in self._followers):
                    self._changed.clear()
                    await self._changed.wait()
        return all(follower.is_past(time_ns) for follower in self._followers)

    def state(self) -> EnergyState:
        """Live figures, for the status."""
        counted = [pair for follower in self._followers for pair in follower.counted()]
        devices, live = [device for device, _ in counted], [one for _, one in counted]
        problems = [follower.problem for follower in self._followers if follower.problem]
        return EnergyState(
            sensor=_joined(device.sensor for device in devices),
            kind=_joined(str(device.sensor_kind) for device in devices),
            devices=len(devices),
            watts=_sum(one.watts for one in live),
            joules=_sum(one.joules for one in live),
            problem=self._problem or ("; ".join(problems) or None),
        )


def _known_problem(settings: EnergySettings, *, from_topology: bool) -> str | None:
    if settings.policy == "Disabled":
        return None
    if settings.problem is None and from_topology:
        return "the topology has named no energy exporter yet"
    if settings.problem is None and not settings.exporters:
        return "no energy exporter is configured"
    return settings.problem


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _device_row(description: Description, device: Device) -> dict[str, object]:
    return {
        "exporter": description.instance_id,
        "boot_id": description.boot_id,
        "device": device.uuid,
        "name": device.name,
        "domain": str(device.domain),
        "scope": str(device.scope),
        "sensor": device.sensor,
        "sensor_kind": str(device.sensor_kind),
        "source": device.source,
        "tick_period_seconds": device.tick_period_seconds,
        "counter_origin_uj": device.counter_origin_uj,
        "counter_wraps_uj": device.counter_wraps_uj,
    }


def _owners_row(ticks: Ticks) -> dict[str, object]:
    containers = ticks.owners.containers
    return {
        "exporter": ticks.exporter,
        "device": ticks.device,
        "time_ns": _owned_since_ns(ticks),
        "known": ticks.owners.known,
        "problem": ticks.owners.problem or None,
        "namespaces": [one.namespace for one in containers],
        "pods": [one.pod for one in containers],
        "containers": [one.container for one in containers],
        "partitions": [one.partition for one in containers],
    }


def _owned_since_ns(ticks: Ticks) -> int:
    """When the exporter learned of these owners; if that was before these ticks, it counts from the first of them."""
    since_ns = ticks.owners.since_ns
    return ticks.monotonic_ns if since_ns is None else max(since_ns, ticks.time_ns[0])


def _look_row(ticks: Ticks, look: Look) -> dict[str, object]:
    """One the exporter sends again to a new connection is journalled again; readers know it by its time."""
    return {
        "exporter": ticks.exporter,
        "device": ticks.device,
        "time_ns": look.time_ns,
        "suspect": list(ticks.suspect),
        **dict(look.known()),
    }


def _joined(words: Iterable[str]) -> str | None:
    return ", ".join(dict.fromkeys(words)) or None


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
