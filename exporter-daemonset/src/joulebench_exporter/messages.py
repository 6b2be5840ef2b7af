"""The messages of the stream: what is new for a subscriber that is at a certain place. Each is made once."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import Owners
from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.diagnostics import Diagnostics, suspects
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.ring import Columns
from joulebench_exporter.sampler import Channel
from joulebench_exporter.ticks import TickFlag

_MAX_BATCH_TICKS: Final = 1024
"""Per device and message, so that a long replay neither fills a message nor holds up others."""

_LARGEST_NUMBER: Final = 2**31 - 1


class Position(NamedTuple):
    """How far a subscriber is with one device."""

    device: str
    sequence: int
    """Of the last tick it was sent."""
    owners_version: int = -1
    """Of the owner book, when it was told of owners last."""
    look_ns: int = -1
    """Time of the look that it was told of last."""


Place = tuple[Position, ...]
"""How far a subscriber is with all its devices."""


class Step(NamedTuple):
    """From one place to the next."""

    place: Place
    message: pb.WatchResponse | None
    """What lies between; None: nothing new."""
    more: bool
    """Whether this message was not enough for all."""


class Messages:
    """Makes them from the rings, the owner book and the looks."""

    def __init__(
        self,
        *,
        channels: Mapping[str, Channel],
        owners: OwnerBook,
        looks: Mapping[str, Looks],
        exporter: pb.Exporter,
        clock: Clock,
    ) -> None:
        self._channels = channels
        self._owners = owners
        self._looks = looks
        self._exporter = exporter
        self._clock = clock
        self._shared: tuple[int, Place, Step] | None = None
        """The newest step, with the beat at which, and the place from which, it was made."""

    def after(self, place: Place, *, beat: int) -> Step:
        """The next step, made once for all who are at the same place at the same beat."""
        if self._shared is not None and self._shared[:2] == (beat, place):
            return self._shared[2]
        step = self._make(place)
        self._shared = (beat, place, step)
        return step

    def _make(self, place: Place) -> Step:
        message = pb.WatchResponse(exporter=self._exporter, clock=clock_pair(self._clock))
        positions, more = [], False
        for position in place:
            ticks = self._channels[position.device].ring.after(position.sequence, limit=_MAX_BATCH_TICKS)
            positions.append(self._add_batch(message, position, ticks) if len(ticks) else position)
            more = more or len(ticks) == _MAX_BATCH_TICKS
        return Step(place=tuple(positions), message=message if message.batches else None, more=more)

    def _add_batch(self, message: pb.WatchResponse, position: Position, ticks: Columns) -> Position:
        """Put one device's new ticks into a message; the position after them."""
        device, sequence, owners_version, look_ns = position
        batch = message.batches.add()
        fill(batch, device, ticks)
        batch.missed_ticks = ticks.first_sequence - sequence - 1
        if batch.missed_ticks:
            batch.flags[0] |= TickFlag.GAP
        if owners_version != self._owners.version:
            owners_version = self._owners.version
            batch.owners.CopyFrom(owners_message(self._owners.of(device)))
        look = self._looks[device].latest if device in self._looks else None
        if look is not None and look.time_ns != look_ns:
            look_ns = look.time_ns
            batch.look.CopyFrom(_look(look))
        return Position(device, ticks.first_sequence + len(ticks) - 1, owners_version, look_ns)


def clock_pair(clock: Clock) -> pb.ClockPair:
    """The machine's clocks now."""
    return pb.ClockPair(monotonic_ns=clock.monotonic_ns(), realtime_ns=clock.realtime_ns())


def fill(batch: pb.TickBatch, device: str, ticks: Columns) -> pb.TickBatch:
    """Put ticks into a batch, which is returned."""
    batch.device = device
    batch.first_sequence = ticks.first_sequence
    batch.monotonic_ns.extend(ticks.time_ns)
    batch.bracket_ns.extend(ticks.bracket_ns)
    batch.energy_mj.extend(ticks.energy_mj)
    batch.flags.extend(ticks.flags)
    return batch


def owners_message(owners: Owners) -> pb.Owners:
    """Who has a device, as the protocol says it."""
    containers = [
        pb.Owner(
            namespace=one.namespace, pod=one.pod, container=one.container, partition=one.partition, claim=one.claim
        )
        for one in owners.containers
    ]
    return pb.Owners(
        containers=containers, known=owners.known, problem=owners.problem, since_monotonic_ns=owners.since_ns
    )


def _look(look: Diagnostics) -> pb.Look:
    message = pb.Look(monotonic_ns=look.time_ns, suspect=suspects(look))
    for name, value in look.known():
        try:
            setattr(message, name, value)
        except ValueError:
            # A driver's unsigned nonsense, which `suspect` names; it must not end the stream.
            setattr(message, name, _LARGEST_NUMBER)
    return message
