"""Messages of the stream, and the beat at which they are sent."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from joulebench_exporter.beat import Beat
from joulebench_exporter.messages import Messages, Position
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.sampler import Sampler

if TYPE_CHECKING:
    from tests.exporter.conftest import FakeClock, ScriptedSensor

    SensorBuilder = Callable[..., ScriptedSensor]


def sampled(clock: "FakeClock", sensor: "ScriptedSensor", *, times: int) -> tuple[Sampler, Messages]:
    """Messages over a sampler that has seen so many ticks."""
    sampler = Sampler(sensors=[sensor], clock=clock, period_ns=100_000_000)
    for count in range(times):
        sensor.counts = dict.fromkeys(sensor.counts, count)
        sampler.sample()
        clock.now_ns += 100_000_000
    messages = Messages(
        channels=sampler.channels, owners=OwnerBook(), looks={}, exporter=pb.Exporter(instance_id="i"), clock=clock
    )
    return sampler, messages


def test_those_at_the_same_place_share_one_message(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    _, messages = sampled(clock, scripted_sensor(gpu_0=0, gpu_1=0), times=5)
    place = (Position("gpu-0", 2), Position("gpu-1", 3))
    steps = [messages.after(place, beat=1) for _ in range(3)]
    assert steps[0].message is steps[1].message is steps[2].message
    assert [position.sequence for position in steps[0].place] == [5, 5]


def test_those_elsewhere_get_their_own(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    _, messages = sampled(clock, scripted_sensor(gpu_0=0), times=5)
    sizes = []
    for sequence in (0, 3, 0):
        message = messages.after((Position("gpu-0", sequence),), beat=1).message
        sizes.append(0 if message is None else len(message.batches[0].energy_mj))
    assert sizes == [5, 2, 5]


def test_at_the_next_beat_a_message_is_made_anew(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    _, messages = sampled(clock, scripted_sensor(gpu_0=0), times=5)
    place = (Position("gpu-0", 2),)
    first = messages.after(place, beat=1).message
    clock.now_ns += 7
    second = messages.after(place, beat=2).message
    assert first is not None
    assert second is not None
    assert second.clock.monotonic_ns - first.clock.monotonic_ns == 7


def test_where_nothing_is_new_there_is_no_message(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    _, messages = sampled(clock, scripted_sensor(gpu_0=0), times=5)
    place, message, more = messages.after((Position("gpu-0", 5, 0, -1),), beat=1)
    assert (place, message, more) == ((Position("gpu-0", 5, 0, -1),), None, False)


async def test_a_beat_wakes_all_who_wait_at_once() -> None:
    beat = Beat(period_seconds=0.01)
    woken: list[int] = []

    async def wait(name: int) -> None:
        await beat.wait()
        woken.append(beat.number + 10 * name)

    async with asyncio.timeout(10):
        await asyncio.gather(*(wait(name) for name in range(3)))
    assert woken == [1, 11, 21]


async def test_a_waiter_that_is_cancelled_leaves_the_others_waiting() -> None:
    beat = Beat(period_seconds=3600)
    given_up, other = asyncio.ensure_future(beat.wait()), asyncio.ensure_future(beat.wait())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    assert not other.done()
    beat.strike()
    await other
    assert given_up.cancelled()
