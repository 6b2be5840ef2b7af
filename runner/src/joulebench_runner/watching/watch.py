"""Follows an exporter and hands out readings at a steady pace, until told to stop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from joulebench_api.contracts.energy import Domain, Scope
from joulebench_exporter.client import Description, DeviceInfo, ExporterClient, ExporterError
from joulebench_runner.errors import EnergyError
from joulebench_runner.watching.host import Host
from joulebench_runner.watching.readings import DeviceMeter, Diagnostics, Reading

OnReadings = Callable[[Sequence[Reading]], None]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is watched, and how."""

    client: ExporterClient
    interval_seconds: float
    on_start: Callable[[Description], None]
    on_readings: OnReadings
    boot_id: str | None = None
    """Of this machine, whose processors' diagnostics are known here."""

    async def run(self, stop: asyncio.Event) -> list[Reading]:
        """Watch until `stop` is set; the last readings. EnergyError where the exporter is not there, or goes away."""
        try:
            description, ping = await self.client.describe(), await self.client.ping()
        except ExporterError as error:
            raise EnergyError(error.message, remedy=error.remedy) from error
        self.on_start(description)
        meters = {info.uuid: DeviceMeter(info, start_ns=ping.t1_ns) for info in description.devices}
        host = Host() if description.boot_id == self.boot_id else None
        follow = asyncio.create_task(self._follow(meters))
        try:
            await self._read_until(stop, follow, meters, host)
        finally:
            follow.cancel()
            await asyncio.wait({follow})
        return _readings(meters, host)

    async def _follow(self, meters: dict[str, DeviceMeter]) -> None:
        try:
            async for batch in self.client.watch():
                if batch.device in meters:
                    meters[batch.device].add(batch)
        except ExporterError as error:
            raise EnergyError(error.message, remedy=error.remedy) from error

    async def _read_until(
        self, stop: asyncio.Event, follow: "asyncio.Task[None]", meters: dict[str, DeviceMeter], host: Host | None
    ) -> None:
        stopped = asyncio.create_task(stop.wait())
        due = time.monotonic()
        try:
            while True:
                # On a grid, so that readings do not drift.
                due += self.interval_seconds
                left = max(due - time.monotonic(), 0.0)
                done, _ = await asyncio.wait({stopped, follow}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if follow in done:
                    follow.result()
                if done:
                    return
                self.on_readings(_readings(meters, host))
        finally:
            stopped.cancel()


def _readings(meters: dict[str, DeviceMeter], host: Host | None) -> list[Reading]:
    now, of_host = time.time_ns(), Diagnostics() if host is None else host.diagnostics()
    return [
        meter.reading(realtime_ns=now, diagnostics=of_host if _is_processor(meter.info) else Diagnostics())
        for meter in meters.values()
    ]


def _is_processor(info: DeviceInfo) -> bool:
    return info.domain is Domain.CPU and info.scope in {Scope.PACKAGE, Scope.MACHINE}
