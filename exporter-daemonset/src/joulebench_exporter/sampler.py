"""Reads all counters in a thread of its own, each when there is something to see, and keeps the ticks."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.errors import SensorReadError
from joulebench_exporter.ledger import Ledger
from joulebench_exporter.ring import Ring
from joulebench_exporter.sensors.base import Counting, Sensor, SensorDevice
from joulebench_exporter.threads import name_this_thread
from joulebench_exporter.tick_finder import MAX_BRACKET_NS, State, TickFinder
from joulebench_exporter.ticks import Tick, TickFlag

DEFAULT_KEEP_SECONDS: Final = 720
"""Twelve minutes of ticks, so that ten are there for certain."""

IDLE_PERIOD_NS: Final = 500_000_000
"""Between reads while nobody listens."""

_LINGER_NS: Final = 15_000_000_000
"""After the last subscriber left (or the start) nothing changes for so long: they come back."""
_TOGETHER_NS: Final = 400_000
"""Reads that are due within this are made with the same waking-up."""
_READS_PER_TICK: Final = 2.1
_SLEPT_NS: Final = 100_000_000
_STOP_TIMEOUT_SECONDS: Final = 5.0
_NEVER_NS: Final = 1 << 62
_RESET: Final = TickFlag.RESET.value
# An Enum's members by names of our own: asking the class for one takes as long as the rest of the question.
_SEEKING: Final = State.SEEKING
_FREE: Final = State.FREE

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Channel:
    """All that belongs to one device. Only the sampler writes to it; the ring may be read by anybody."""

    info: DeviceInfo
    device: SensorDevice
    sensor: Sensor
    count: Callable[[], int]
    """Reads the counter."""
    ledger: Ledger
    ring: Ring
    finder: TickFinder | None = None
    """Of a counter whose ticks are sought; None: it is read on the grid."""
    problem: str | None = None
    """Why the last read failed; None: it did not."""
    reads: int = 0
    failures: int = 0
    resets: int = 0
    last_tick_ns: int | None = None
    lag_ns: int = 0
    """How late the last read was."""

    @property
    def joules(self) -> float:
        """Energy since the exporter's start."""
        ticks = self.ring.after(self.ring.newest - 1, limit=1)
        return ticks.energy_mj[-1] / 1000 if len(ticks) else 0.0

    @property
    def followed(self) -> bool:
        """Whether its tick finder says when to read it."""
        return self.finder is not None and self.finder.state is not _FREE


class Sampler:
    """The sampling loop. `start` runs it in a thread; tests call `sample` or `run` themselves.

    Counters without ticks of their own are read on an absolute grid, so that the costs of reads do not add up to a
    drift. Where more than `late_periods` were missed (a starved thread, a machine that slept), the next tick is marked
    GAP. Counters with ticks are read when their tick finder says so. While nobody listens, all are read at a slow grid.
    """

    def __init__(
        self,
        *,
        sensors: Sequence[Sensor],
        clock: Clock,
        period_ns: int,
        keep_seconds: float = DEFAULT_KEEP_SECONDS,
        late_periods: int = 3,
        sleeps_when_idle: bool = False,
    ) -> None:
        self._clock = clock
        self._period_ns = period_ns
        self._keep_seconds = keep_seconds
        self._late_periods = late_periods
        self._sensors = sensors
        self._last_round_ns: int | None = None
        self._suspended_ns: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._sleeps_when_idle = sleeps_when_idle
        self._listeners = 0
        self._listened_ns = clock.monotonic_ns()
        self._idle = False
        self.last_read_ns = clock.monotonic_ns()
        """When the last read ended, whatever it brought."""
        found = (_channel(sensor, device, period_ns, keep_seconds) for sensor in sensors for device in sensor.devices())
        self.channels: Mapping[str, Channel] = {channel.info.uuid: channel for channel in found}
        self._followed: list[tuple[Channel, TickFinder]] = []
        self._on_grid: list[Channel] = []
        """The others."""
        self._first_due_ns = _NEVER_NS
        """When the first of those that are followed is to be read."""

    @property
    def idle(self) -> bool:
        """Whether reads are few because nobody listens."""
        return self._idle

    @property
    def listeners(self) -> int:
        """Who follows the ticks now."""
        return self._listeners

    @property
    def finding(self) -> bool:
        """Whether the ticks of a counter that can be read have not been found yet."""
        return any(
            one.finder is not None and one.finder.period_ns is None and one.problem is None
            for one in self.channels.values()
        )

    def listen(self, change: int) -> None:
        """A subscriber came (1) or left (-1). Called from the event loop's thread only."""
        self._listeners += change
        self._listened_ns = self._clock.monotonic_ns()

    def sample(self) -> None:
        """One round: read every device once."""
        self._round(self.channels.values())

    def run(self) -> None:
        """Read whatever is due, the grid from one period from now, until stopped."""
        grid_ns = self._clock.monotonic_ns() + self._period_ns
        self._choose_followed()
        while not self._clock.wait_until(self._next_due_ns(grid_ns), self._stop):
            now_ns = self._clock.monotonic_ns()
            if now_ns >= grid_ns:
                self._note_suspension()
                self._fall_idle_or_wake(now_ns)
                self._read_grid()
                grid_ns = self._next_on_grid(grid_ns)
            if not self._idle:
                self._read_followed(now_ns)

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
        name_this_thread("sampler")
        try:
            self.run()
        except Exception as error:  # noqa: BLE001 - handed on to whoever can end the process
            on_failure(error)

    def _next_due_ns(self, grid_ns: int) -> int:
        """When to wake up. The grid is not worth a waking of its own while it has nothing to read."""
        if self._idle or not self._followed:
            return grid_ns
        due_ns = self._first_due_ns
        return due_ns if due_ns < grid_ns or not self._on_grid else grid_ns

    def _choose_followed(self) -> None:
        """Sort the channels into those two kinds: at the start, and when one changes."""
        self._followed = [
            (channel, channel.finder)
            for channel in self.channels.values()
            if channel.finder is not None and channel.followed
        ]
        self._on_grid = [channel for channel in self.channels.values() if not channel.followed]
        self._first_due_ns = min((finder.due_ns for _, finder in self._followed), default=_NEVER_NS)

    def _next_on_grid(self, grid_ns: int) -> int:
        period_ns = self._grid_period_ns()
        grid_ns += period_ns
        behind_ns = self._clock.monotonic_ns() - grid_ns
        return grid_ns + -(-behind_ns // period_ns) * period_ns if behind_ns > 0 else grid_ns

    def _grid_period_ns(self) -> int:
        return max(IDLE_PERIOD_NS, self._period_ns) if self._idle else self._period_ns

    def _fall_idle_or_wake(self, now_ns: int) -> None:
        quiet = self._listeners == 0 and now_ns - self._listened_ns > _LINGER_NS
        idle = self._sleeps_when_idle and quiet
        if self._idle is not idle:
            self._last_round_ns = None  # the grid has another period from now on
        if self._idle and not idle:
            for channel in self.channels.values():
                if channel.finder is not None and channel.followed:
                    channel.finder.seek(now_ns=now_ns)
        self._idle = idle

    def _note_suspension(self) -> None:
        """A machine that slept: the counters went on, and nobody saw when they ticked."""
        suspended_ns = self._clock.boottime_ns() - self._clock.monotonic_ns()
        before_ns, self._suspended_ns = self._suspended_ns, suspended_ns
        if before_ns is None or suspended_ns - before_ns < _SLEPT_NS:
            return
        for channel in self.channels.values():
            if channel.finder is not None and channel.followed:
                channel.ledger.miss()
                channel.finder.seek(now_ns=self._clock.monotonic_ns())

    def _read_grid(self) -> None:
        channels = self.channels.values() if self._idle else self._on_grid
        if channels:
            self._round(channels)
        else:
            self._last_round_ns = None  # whenever the next round comes, it is not late

    def _round(self, channels: Iterable[Channel]) -> None:
        late = self._came_late()
        for channel in channels:
            if late:
                channel.ledger.miss()
            self._read(channel, None if self._idle or not channel.followed else channel.finder)

    def _came_late(self) -> bool:
        # The clock that goes on while the machine sleeps: the counters may have gone on too.
        now_ns = self._clock.boottime_ns()
        last_ns, self._last_round_ns = self._last_round_ns, now_ns
        if last_ns is None:
            return False
        missed_periods = (now_ns - last_ns) // self._grid_period_ns() - 1
        return missed_periods > self._late_periods

    def _read_followed(self, now_ns: int) -> None:
        """Read what is due, each once.

        Most wakings are for a single read, after a sleep in which the processor's caches went cold: what costs is how
        many different things are touched, not how often. Hence a plain search, which needs no more than the reads do.
        """
        until_ns, first_ns = now_ns + _TOGETHER_NS, _NEVER_NS
        for channel, finder in self._followed:
            if finder.due_ns <= until_ns:
                self._read_due(channel, finder, late_ns=now_ns - finder.due_ns)
            if finder.due_ns < first_ns:  # noqa: PLR1730 - `min` is slow after a sleep
                first_ns = finder.due_ns
        self._first_due_ns = first_ns

    def _read_due(self, channel: Channel, finder: TickFinder, *, late_ns: int) -> None:
        channel.lag_ns = late_ns if late_ns > 0 else 0  # noqa: FURB136 - `max` is slow after a sleep
        if finder.period_ns and late_ns > self._late_periods * finder.period_ns:
            channel.ledger.miss()
        self._read(channel, finder)

    def _read(self, channel: Channel, finder: TickFinder | None) -> None:
        """Read one counter; `finder` is told what was seen."""
        channel.reads += 1
        monotonic_ns = self._clock.monotonic_ns
        start_ns = monotonic_ns()
        try:
            count = channel.count()
        except SensorReadError as error:
            self._read_failed(channel, error)
            return
        self.last_read_ns = end_ns = monotonic_ns()
        tick = channel.ledger.observe(count, start_ns=start_ns, end_ns=end_ns)
        if tick is not None:
            channel.ring.append(tick)
            channel.last_tick_ns = end_ns
            if tick.flags & _RESET:
                channel.resets += 1
        if finder is not None:
            if tick is None or tick.sequence == 1:  # the first read sees no change
                finder.unchanged(end_ns=end_ns)
            else:
                self._tell_finder(channel, finder, tick, start_ns=start_ns)
        if channel.problem is not None:
            _note_success(channel)

    def _read_failed(self, channel: Channel, error: SensorReadError) -> None:
        channel.ledger.miss()
        _note_failure(channel, error)
        self.last_read_ns = self._clock.monotonic_ns()
        if channel.finder is not None:
            channel.finder.failed(now_ns=self.last_read_ns)
            self._choose_followed()

    def _tell_finder(self, channel: Channel, finder: TickFinder, tick: Tick, *, start_ns: int) -> None:
        before = finder.state
        finder.moved(start_ns=start_ns, end_ns=tick.time_ns, bracket_ns=tick.bracket_ns)
        if finder.state is not before and finder.state is not _SEEKING:
            self._ticks_found(channel, finder.period_ns or self._period_ns)

    def _ticks_found(self, channel: Channel, period_ns: int) -> None:
        if channel.followed:
            _log.debug("ticks found", extra={"device": channel.info.uuid, "period_ms": period_ns / 1e6})
        else:
            period_ns = self._period_ns
            self._choose_followed()
        channel.info = dataclasses.replace(channel.info, tick_period_seconds=period_ns / 1e9)
        self._choose_grid()
        channel.ring.grow(capacity=int(self._keep_seconds * 1e9 / period_ns) + 1)

    def _choose_grid(self) -> None:
        """Whether it is cheaper to wake up for every counter, or for all of them at a common grid."""
        finders = [channel.finder for channel in self.channels.values() if channel.finder and channel.followed]
        wakes_per_second = sum(_READS_PER_TICK * 1e9 / finder.period_ns for finder in finders if finder.period_ns)
        grid_ns = MAX_BRACKET_NS if wakes_per_second > 1e9 / MAX_BRACKET_NS else None
        for finder in finders:
            finder.grid_ns = grid_ns


def _channel(sensor: Sensor, device: SensorDevice, period_ns: int, keep_seconds: float) -> Channel:
    sought = device.counter.find_ticks
    tick_period_seconds = device.info.tick_period_seconds or 0.0
    if not sought:
        tick_period_seconds = max(tick_period_seconds, period_ns / 1e9)
    return Channel(
        info=dataclasses.replace(device.info, tick_period_seconds=tick_period_seconds),
        device=device,
        sensor=sensor,
        count=sensor.counter_of(device) if isinstance(sensor, Counting) else lambda: sensor.read(device).count,
        ledger=Ledger(device.counter),
        # On the grid at most one tick a round, however the device's own ticks fall.
        ring=Ring(capacity=int(keep_seconds / (tick_period_seconds or period_ns / 1e9)) + 1),
        finder=TickFinder() if sought else None,
    )


def _note_failure(channel: Channel, error: SensorReadError) -> None:
    if channel.problem is None:
        _log.warning("reads fail", extra={"device": channel.info.uuid, "problem": str(error)})
    channel.problem = error.message
    channel.failures += 1


def _note_success(channel: Channel) -> None:
    if channel.problem is not None:
        _log.info("reads work again", extra={"device": channel.info.uuid})
    channel.problem = None
