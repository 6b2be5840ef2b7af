"""The sampling loop, with a clock that is wound by hand."""

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.ring import Ring
from joulebench_exporter.sampler import Sampler
from joulebench_exporter.sensors.base import Reading, SensorDevice
from joulebench_exporter.ticks import Tick, TickFlag

if TYPE_CHECKING:
    from tests.exporter.conftest import FakeClock, ScriptedSensor

    SensorBuilder = Callable[..., ScriptedSensor]

PERIOD_NS = 100_000_000


def sampler_of(sensor: "ScriptedSensor", clock: "FakeClock", *, keep_seconds: float = 720) -> Sampler:
    return Sampler(sensors=[sensor], clock=clock, period_ns=PERIOD_NS, keep_seconds=keep_seconds)


def ticks(sampler: Sampler, device: str = "gpu-0") -> list[tuple[int, int]]:
    """(energy, flags) of all ticks that are kept."""
    columns = sampler.channels[device].ring.after(0, limit=10_000)
    return list(zip(columns.energy_mj, columns.flags, strict=True))


def test_reads_stand_on_a_grid_whatever_they_cost(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    sensor = scripted_sensor(gpu_0=1)
    sensor.read_duration_ns = 30_000_000
    clock.oversleeps_ns = [0, 5_000_000, 0]
    start_ns = clock.now_ns
    sampler_of(sensor, clock).run()
    assert clock.waits == [start_ns + n * PERIOD_NS for n in (1, 2, 3)]


def test_a_read_that_overruns_leaves_out_grid_points_and_keeps_the_grid(
    clock: "FakeClock", scripted_sensor: "SensorBuilder"
) -> None:
    sensor = scripted_sensor(gpu_0=1)
    sensor.read_duration_ns = 230_000_000
    clock.oversleeps_ns = [0, 0]
    start_ns = clock.now_ns
    sampler_of(sensor, clock).run()
    assert clock.waits == [start_ns + PERIOD_NS, start_ns + 4 * PERIOD_NS]


def test_a_few_late_rounds_are_no_gap_but_many_are(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    sensor = scripted_sensor(gpu_0=0)
    sampler = sampler_of(sensor, clock)
    for periods in (1, 4, 5):  # 0, 3 and 4 rounds were missed; 3 are allowed
        sampler.sample()
        clock.now_ns += periods * PERIOD_NS
        sensor.counts["gpu-0"] = (sensor.counts["gpu-0"] or 0) + 1
    sampler.sample()
    assert ticks(sampler) == [(0, 0), (1, 0), (2, 0), (3, TickFlag.GAP)]


def test_a_machine_that_slept_is_a_gap_though_its_monotonic_clock_stood_still(
    clock: "FakeClock", scripted_sensor: "SensorBuilder"
) -> None:
    sensor = scripted_sensor(gpu_0=0)
    sampler = sampler_of(sensor, clock)
    sampler.sample()
    clock.now_ns += PERIOD_NS
    clock.slept_ns += 60_000_000_000
    sensor.counts["gpu-0"] = 9
    sampler.sample()
    assert ticks(sampler) == [(0, 0), (9, TickFlag.GAP)]


def test_one_device_that_fails_leaves_the_others_alone(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    sensor = scripted_sensor(gpu_0=0, gpu_1=0)
    sampler = sampler_of(sensor, clock)
    for count_0, count_1 in ((0, 0), (None, 5), (8, 6)):
        sensor.counts = {"gpu-0": count_0, "gpu-1": count_1}
        sampler.sample()
        clock.now_ns += PERIOD_NS
    assert ticks(sampler, "gpu-0") == [(0, 0), (8, TickFlag.GAP)]
    assert ticks(sampler, "gpu-1") == [(0, 0), (5, 0), (6, 0)]


def test_a_failing_device_is_logged_when_it_begins_and_when_it_ends(
    clock: "FakeClock", scripted_sensor: "SensorBuilder", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    sensor = scripted_sensor(gpu_0=None)
    sampler = sampler_of(sensor, clock)
    sampler.sample()
    sampler.sample()
    problems = [sampler.channels["gpu-0"].problem]
    sensor.counts["gpu-0"] = 1
    sampler.sample()
    problems.append(sampler.channels["gpu-0"].problem)
    assert problems == ["the script says so", None]
    assert [record.message for record in caplog.records] == ["reads fail", "reads work again"]


def test_the_time_of_a_tick_is_the_end_of_the_read_that_saw_it(
    clock: "FakeClock", scripted_sensor: "SensorBuilder"
) -> None:
    sensor = scripted_sensor(gpu_0=0)
    sensor.read_duration_ns = 7
    sampler = sampler_of(sensor, clock)
    sampler.sample()
    assert list(sampler.channels["gpu-0"].ring.after(0, limit=1).time_ns) == [clock.now_ns]


def test_the_stated_tick_period_is_never_shorter_than_the_sampling_period(
    clock: "FakeClock", scripted_sensor: "SensorBuilder"
) -> None:
    assert sampler_of(scripted_sensor(gpu_0=0), clock).channels["gpu-0"].info.tick_period_seconds == 0.1


def test_ten_minutes_of_ticks_are_kept_and_memory_does_not_grow(
    clock: "FakeClock", scripted_sensor: "SensorBuilder"
) -> None:
    sensor = scripted_sensor(gpu_0=0)
    sampler = sampler_of(sensor, clock)
    for _ in range(8000):
        sensor.counts["gpu-0"] = (sensor.counts["gpu-0"] or 0) + 1
        sampler.sample()
        clock.now_ns += PERIOD_NS
    kept = sampler.channels["gpu-0"].ring.after(0, limit=10_000)
    assert len(kept) == 7201
    assert kept.time_ns[-1] - kept.time_ns[0] >= 600_000_000_000


def test_the_thread_samples_and_ends_when_told(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    sensor = scripted_sensor(gpu_0=0)
    clock.oversleeps_ns = [0, 0]
    sampler = sampler_of(sensor, clock)
    sampler.start(on_failure=lambda error: pytest.fail(str(error)))
    sampler.stop()
    assert sensor.closed
    assert not [thread for thread in threading.enumerate() if thread.name == "sampler"]
    assert ticks(sampler) == [(0, 0)]


def test_a_sensor_that_breaks_its_word_is_handed_to_whoever_can_end_the_process(
    clock: "FakeClock", scripted_sensor: "SensorBuilder", monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = scripted_sensor(gpu_0=0)
    sampler = sampler_of(sensor, clock)
    clock.oversleeps_ns = [0]
    reads: list[Reading | Exception] = [Reading(count=1), ZeroDivisionError("a bug")]

    def read(device: SensorDevice) -> Reading:
        answer = reads.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sensor, "read", read)
    failures: SimpleQueue[Exception] = SimpleQueue()
    sampler.start(on_failure=failures.put)
    failure = failures.get(timeout=10)  # the thread's first waking may come after a stop, which would end it
    sampler.stop()
    assert type(failure) is ZeroDivisionError
    assert failures.empty()


def test_while_nobody_listens_reads_are_few_and_a_subscriber_brings_them_back(
    clock: "FakeClock", scripted_sensor: "SensorBuilder"
) -> None:
    sensor = scripted_sensor(gpu_0=0)
    sampler = Sampler(sensors=[sensor], clock=clock, period_ns=PERIOD_NS, sleeps_when_idle=True)
    clock.oversleeps_ns = [0] * 200
    sampler.run()
    states = [sampler.idle]
    assert clock.waits[-1] - clock.waits[-2] == 500_000_000
    assert clock.waits[100] - clock.waits[99] == PERIOD_NS  # the first seconds may bring one
    sampler.listen(1)
    clock.oversleeps_ns = [0] * 4
    sampler.run()
    states.append(sampler.idle)
    assert states == [True, False]
    assert clock.waits[-1] - clock.waits[-2] == PERIOD_NS


def test_coming_back_from_idleness_is_no_gap(clock: "FakeClock", scripted_sensor: "SensorBuilder") -> None:
    sensor = scripted_sensor(gpu_0=0)
    sampler = Sampler(sensors=[sensor], clock=clock, period_ns=PERIOD_NS, sleeps_when_idle=True)
    clock.oversleeps_ns = [0] * 200
    sampler.run()
    sampler.listen(1)
    sensor.counts["gpu-0"] = 7
    clock.oversleeps_ns = [0] * 3
    sampler.run()
    assert ticks(sampler) == [(0, 0), (7, 0)]


class SteppingSensor:
    """A counter that moves by 2 J every 20 ms of the clock, or more often."""

    name = "stepping"
    kind = SensorKind.SIMULATED
    notes: Sequence[str] = ()

    def __init__(self, clock: "FakeClock", *, uuid: str = "gpu-0", period_ns: int = 20_000_000) -> None:
        self._clock = clock
        self._period_ns = period_ns
        info = DeviceInfo(
            uuid=uuid,
            name="GPU",
            domain=Domain.GPU,
            scope=Scope.BOARD,
            sensor="stepping",
            sensor_kind=SensorKind.SIMULATED,
            source="a clock",
            tick_period_seconds=0.1,
        )
        self._device = SensorDevice(info=info, counter=Counter(find_ticks=True, microjoules_per_count=Fraction(1000)))

    def devices(self) -> Sequence[SensorDevice]:
        return [self._device]

    def read(self, device: SensorDevice) -> Reading:
        return Reading(count=self._clock.now_ns // self._period_ns * 2000)

    def close(self) -> None:
        pass


def test_a_counter_with_ticks_is_read_when_they_come_and_the_memory_grows_with_their_number(
    clock: "FakeClock",
) -> None:
    sampler = Sampler(sensors=[SteppingSensor(clock)], clock=clock, period_ns=PERIOD_NS)
    clock.oversleeps_ns = [50_000] * 3000
    sampler.run()
    (channel,) = sampler.channels.values()
    columns = channel.ring.after(0, limit=100_000)
    late = range(len(columns) // 2, len(columns))
    assert {columns.energy_mj[n] - columns.energy_mj[n - 1] for n in late} == {2000}
    assert max(columns.bracket_ns[n] for n in late) <= 5_000_000
    assert channel.info.tick_period_seconds == pytest.approx(0.02, rel=1e-3)
    assert channel.reads <= 3000
    assert channel.ring.oldest == 1


def test_a_counter_that_moves_too_often_to_be_followed_is_read_on_the_grid(clock: "FakeClock") -> None:
    sampler = Sampler(sensors=[SteppingSensor(clock, period_ns=1_000_000)], clock=clock, period_ns=PERIOD_NS)
    clock.oversleeps_ns = [50_000] * 2000
    sampler.run()
    (channel,) = sampler.channels.values()
    assert not channel.followed
    assert {after - before for before, after in pairwise(clock.waits[-100:])} == {PERIOD_NS}
    assert channel.info.tick_period_seconds == PERIOD_NS / 1e9


def test_a_counter_on_the_grid_and_one_that_is_followed_are_both_read_when_they_want(clock: "FakeClock") -> None:
    sensors = [SteppingSensor(clock, uuid="gpu-0", period_ns=1_000_000), SteppingSensor(clock, uuid="gpu-1")]
    sampler = Sampler(sensors=sensors, clock=clock, period_ns=PERIOD_NS)
    clock.oversleeps_ns = [50_000] * 3000
    sampler.run()
    grid, followed = (sampler.channels[uuid].ring.after(0, limit=100_000) for uuid in ("gpu-0", "gpu-1"))
    assert {after - before for before, after in pairwise(grid.time_ns[-50:])} <= set(range(99_000_000, 101_000_000))
    assert {after - before for before, after in pairwise(followed.energy_mj[-500:])} == {2000}
    assert max(followed.bracket_ns[-500:]) <= 5_000_000


def test_a_ring_that_grows_keeps_what_it_has() -> None:
    ring = Ring(capacity=3)
    for sequence in range(1, 6):
        ring.append(Tick(sequence=sequence, time_ns=sequence, bracket_ns=1, energy_mj=10 * sequence))
    ring.grow(capacity=5)
    ring.append(Tick(sequence=6, time_ns=6, bracket_ns=1, energy_mj=60))
    kept = ring.after(0, limit=10)
    assert (kept.first_sequence, list(kept.energy_mj)) == (3, [30, 40, 50, 60])
