"""The engine on a clock that the test winds: when tokens come, and that no energy is lost."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from joulebench_api.contracts.device_file import DeviceFileReader, DeviceFileWriter, DeviceIdentity
from joulebench_simulator.costs import Costs, Power, Speeds
from joulebench_simulator.devices import Devices
from joulebench_simulator.engine import Engine, Job, Wanted
from joulebench_simulator.log import RequestLog
from joulebench_simulator.prefixes import PrefixCache
from joulebench_simulator.scheduler import Limits, Scheduler

MS = 1_000_000
SPEEDS = Speeds(step_ns=5 * MS, prefill_token_ns=1 * MS, decode_token_ns=2 * MS)
POWER = Power(resting_mw=100_000, busy_mw=200_000, prefill_token_uj=50_000, decode_token_uj=100_000)


class Clock:
    """Sleeping moves it."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)
        await asyncio.sleep(0)


class Listener:
    """Notes when what came, in milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.times: list[float] = []
        self.begun, self.done = asyncio.Event(), asyncio.Event()

    def token(self, choice: int, at: int, *, last: bool) -> bool:
        self.times.append(self.clock.now_ns / MS)
        self.begun.set()
        return True

    def finished(self, job: Job) -> None:
        self.done.set()


class Bench:
    """An engine with one device, and what it logs."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.clock = Clock()
        self.log = folder / "log.jsonl"
        writer = DeviceFileWriter(
            folder / "0.device", identity=DeviceIdentity(uuid="GPU-1"), resting_power_mw=100_000,
            monotonic_ns=self.clock.monotonic_ns,
        )  # fmt: skip
        self.device = DeviceFileReader(folder / "0.device")
        self.engine = Engine(
            scheduler=Scheduler(Limits(**limits)), costs=Costs(SPEEDS, POWER),
            devices=Devices([writer], resting_mw=100_000), log=RequestLog(self.log), prefixes=PrefixCache(blocks=0),
            monotonic_ns=self.clock.monotonic_ns, sleep=self.clock.sleep,
        )  # fmt: skip

    def job(self, prompt_tokens: int, output_tokens: int) -> Job:
        wanted = Wanted(prompt="p", prompt_number=0, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        return Job(wanted=[wanted], listener=Listener(self.clock))

    async def run(self, *jobs: Job) -> list[dict[str, Any]]:
        """Work until all jobs are done; gives the log."""
        working = asyncio.create_task(self.engine.run())
        for job in jobs:
            self.engine.submit(job)
        for job in jobs:
            await job.listener.done.wait()  # type: ignore[attr-defined]  # ours has one
        await asyncio.sleep(0)
        working.cancel()
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_tokens_come_at_the_ends_of_their_steps(bench: Bench) -> None:
    job = bench.job(10, 3)
    await bench.run(job)
    assert job.listener.times == [15.0, 22.0, 29.0]  # type: ignore[attr-defined]


async def test_two_in_a_batch_slow_each_other_down(bench: Bench) -> None:
    first, second = bench.job(10, 2), bench.job(10, 2)
    await bench.run(first, second)
    assert first.listener.times == second.listener.times == [25.0, 34.0]  # type: ignore[attr-defined]


async def test_what_the_counter_shows_is_what_the_requests_cost(bench: Bench) -> None:
    lines = await bench.run(*(bench.job(prompt, output) for prompt, output in ((10, 5), (3, 20), (40, 1))))
    # Nothing rested: the engine was busy from the first moment to the last.
    assert sum(line["energy_mj"] for line in lines) * 1000 == bench.device.energy_uj_at(bench.clock.now_ns)


async def test_preempted_work_is_done_and_paid_again(tmp_path: Path) -> None:
    (tmp_path / "tight").mkdir()
    roomy, tight = Bench(tmp_path), Bench(tmp_path / "tight", kv_tokens=48)
    energy = []
    for one in (roomy, tight):
        lines = await one.run(one.job(16, 20), one.job(16, 20))
        energy.append(sum(line["energy_mj"] for line in lines))
        assert [line["output_tokens"] for line in lines] == [20, 20]
    assert tight.engine.now().preemptions == 1
    assert energy[1] > energy[0]


async def test_a_cancelled_request_is_logged_with_what_it_cost(bench: Bench) -> None:
    leaving, staying = bench.job(10, 1000), bench.job(10, 3)
    bench.engine.submit(leaving)
    working = asyncio.create_task(bench.engine.run())
    await leaving.listener.begun.wait()  # type: ignore[attr-defined]
    bench.engine.cancel(leaving)
    working.cancel()
    lines = await bench.run(staying)
    assert [line["outcome"] for line in lines] == ["cancelled", "completed"]
    assert lines[0]["energy_mj"] > 0
    assert bench.engine.now().kv_used == 0
