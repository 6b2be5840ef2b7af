"""Looks at the devices' power, load, memory, heat and clocks once a second, in a thread of its own.

Apart from the sampler, because a look takes some ten calls of the driver and a tick shall not wait for them.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from joulebench_exporter.clock import Clock
from joulebench_exporter.diagnostics import CLOCK_REASONS, Diagnostics, suspects
from joulebench_exporter.errors import SensorReadError
from joulebench_exporter.sampler import Channel
from joulebench_exporter.sensors.base import Diagnosing
from joulebench_exporter.threads import name_this_thread

DEFAULT_PERIOD_NS: Final = 1_000_000_000

_STOP_TIMEOUT_SECONDS: Final = 5.0
_LONGEST_GAP_PERIODS: Final = 3

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Looks:
    """What was seen of one device."""

    channel: Channel
    latest: Diagnostics | None = None
    failures: int = 0
    suspect: int = 0
    """Looks with a value that cannot be true."""
    reason_ns: dict[int, int] = field(default_factory=dict)
    """How long each clock reason (a bit) was seen to hold."""


class Diagnostician:
    """The thread. `look` does one round, for tests."""

    def __init__(self, *, channels: Iterable[Channel], clock: Clock, period_ns: int = DEFAULT_PERIOD_NS) -> None:
        self._clock = clock
        self._period_ns = period_ns
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.looks = {one.info.uuid: Looks(channel=one) for one in channels if isinstance(one.sensor, Diagnosing)}

    def start(self, *, on_failure: Callable[[Exception], None]) -> None:
        """Begin, if there is anything to look at. `on_failure` is called from the thread if it dies."""
        if self.looks:
            self._thread = threading.Thread(target=self._run, args=(on_failure,), name="diagnostics", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_SECONDS)

    def look(self) -> None:
        """Look at every device once."""
        for looks in self.looks.values():
            self._look_at(looks)

    def _run(self, on_failure: Callable[[Exception], None]) -> None:
        name_this_thread("diagnostics")
        try:
            due_ns = self._clock.monotonic_ns()
            while not self._clock.wait_until(due_ns, self._stop):
                self.look()
                due_ns = max(due_ns + self._period_ns, self._clock.monotonic_ns())
        except Exception as error:  # noqa: BLE001 - handed on to whoever can end the process
            on_failure(error)

    def _look_at(self, looks: Looks) -> None:
        sensor = looks.channel.sensor
        if not isinstance(sensor, Diagnosing):
            return
        try:
            seen = sensor.diagnose(looks.channel.device)
        except SensorReadError as error:
            # The sampler reads the same device and tells of its troubles; here they only make a value unknown.
            _log.debug("a look failed", extra={"device": looks.channel.info.uuid, "problem": error.message})
            looks.failures += 1
            looks.latest = None
            return
        if wrong := suspects(seen):
            looks.suspect += 1
            _log.warning("values that cannot be true", extra={"device": looks.channel.info.uuid, "fields": wrong})
        self._count_reasons(looks, seen)
        looks.latest = seen

    def _count_reasons(self, looks: Looks, seen: Diagnostics) -> None:
        """A reason that holds now is taken to have held since the look before, unless that was long ago."""
        if looks.latest is None or seen.clock_reasons is None:
            return
        elapsed_ns = min(seen.time_ns - looks.latest.time_ns, _LONGEST_GAP_PERIODS * self._period_ns)
        for bit in CLOCK_REASONS:
            if seen.clock_reasons & bit:
                looks.reason_ns[bit] = looks.reason_ns.get(bit, 0) + elapsed_ns
