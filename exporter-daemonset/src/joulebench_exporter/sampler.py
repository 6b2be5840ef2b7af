"""Reads all counters on a fixed schedule, in a thread of its own, and keeps the ticks."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.errors import SensorReadError
from joulebench_exporter.ledger import Ledger
from joulebench_exporter.ring import Ring
from joulebench_exporter.sensors.base import Sensor, SensorDevice

DEFAULT_KEEP_SECONDS: Final = 720
"""Twelve minutes of ticks, so that ten are there for certain."""

_STOP_TIMEOUT_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Channel:
    """All that belongs to one device. Only the sampler writes to it; the ring may be read by anybody."""

    info: DeviceInfo
    device: SensorDevice
    sensor: Sensor
    ledger: Ledger
    ring: Ring
    problem: str | None = None
    """Why the last read failed; None: it did not."""


class Sampler:
    """The sampling loop. `start` runs it in a thread; tests call `sample` or `run` themselves.

    Reads stand on an absolute grid, so that their costs do not add up to a drift. Where more than `late_periods` of
    the grid were missed (a starved thread, a machine that slept), the next tick of every device is marked GAP.
    """

    def __init__(
        self,
        *,
        sensors: Sequence[Sensor],
        clock: Clock,
        period_ns: int,
        keep_seconds: float = DEFAULT_KEEP_SECONDS,
        late_periods: int = 3,
    ) -> None:
        self._clock = clock
        self._period_ns = period_ns
        self._late_periods = late_periods
        self._sensors = sensors
        self._last_round_ns: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        found = (_channel(sensor, device, period_ns, keep_seconds) for sensor in sensors for device in sensor.devices())
        self.channels: Mapping[str, Channel] = {channel.info.uuid: channel for channel in found}

    def sample(self) -> None:
        """One round: read every device once."""
        if self._came_late():
            for channel in self.channels.values():
                channel.ledger.miss()
        for channel in self.channels.values():
            self._read(channel)

    def run(self) -> None:
        """Sample on the grid, which begins one period from now, until stopped."""
        deadline_ns = self._clock.monotonic_ns() + self._period_ns
        while not self._clock.wait_until(deadline_ns, self._stop):
            self.sample()
            deadline_ns += self._period_ns
            behind_ns = self._clock.monotonic_ns() - deadline_ns
            if behind_ns > 0:
                deadline_ns += -(-behind_ns // self._period_ns) * self._period_ns

    def start(self, *, on_failure: Callable[[Exception], None]) -> None:
        """Take the first sample now, so that bad sensors show at once; then sample in a thread of its own.

        `on_failure` is called from that thread if it dies: an exporter without its sampler must not live on.
        """
        self.sample()
        self._thread = threading.Thread(target=self._run_in_thread, args=(on_failure,), name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give the sensors back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_SECONDS)
        for sensor in self._sensors:
            sensor.close()

    def _run_in_thread(self, on_failure: Callable[[Exception], None]) -> None:
        try:
            self.run()
        except Exception as error:  # noqa: BLE001 - handed on to whoever can end the process
            on_failure(error)

    def _came_late(self) -> bool:
        # The clock that goes on while the machine sleeps: the counters may have gone on too.
        now_ns = self._clock.boottime_ns()
        last_ns, self._last_round_ns = self._last_round_ns, now_ns
        if last_ns is None:
            return False
        missed_periods = (now_ns - last_ns) // self._period_ns - 1
        return missed_periods > self._late_periods

    def _read(self, channel: Channel) -> None:
        start_ns = self._clock.monotonic_ns()
        try:
            reading = channel.sensor.read(channel.device)
        except SensorReadError as error:
            channel.ledger.miss()
            _note_failure(channel, error)
            return
        tick = channel.ledger.observe(reading.count, start_ns=start_ns, end_ns=self._clock.monotonic_ns())
        if tick is not None:
            channel.ring.append(tick)
        _note_success(channel)


def _channel(sensor: Sensor, device: SensorDevice, period_ns: int, keep_seconds: float) -> Channel:
    tick_period_seconds = max(device.info.tick_period_seconds, period_ns / 1e9)
    return Channel(
        info=dataclasses.replace(device.info, tick_period_seconds=tick_period_seconds),
        device=device,
        sensor=sensor,
        ledger=Ledger(device.counter),
        # At most one tick a round, however the device's own ticks fall.
        ring=Ring(capacity=int(keep_seconds * 1e9 / period_ns) + 1),
    )


def _note_failure(channel: Channel, error: SensorReadError) -> None:
    if channel.problem is None:
        _log.warning("reads fail", extra={"device": channel.info.uuid, "problem": str(error)})
    channel.problem = error.message


def _note_success(channel: Channel) -> None:
    if channel.problem is not None:
        _log.info("reads work again", extra={"device": channel.info.uuid})
    channel.problem = None
