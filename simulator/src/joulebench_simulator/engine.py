"""The engine: runs the scheduler's steps in real time and hands out the tokens."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from joulebench_simulator.costs import Costs
from joulebench_simulator.devices import Devices, Load
from joulebench_simulator.log import RequestLog
from joulebench_simulator.metrics import Metrics, Now
from joulebench_simulator.prefixes import PrefixCache
from joulebench_simulator.scheduler import Scheduler, Sequence

_CATCH_UP_NS: Final = 20_000_000
"""A step that begins late by less counts as begun in time, so that late timers do not slow the engine down."""


class Listener(Protocol):
    """Gets the tokens of one request."""

    def token(self, choice: int, at: int, *, last: bool) -> bool:
        """The `at`th token of a choice is there. False: nobody wants more, the request is over."""
        ...

    def finished(self, job: "Job") -> None:
        """All choices are complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Lengths of one choice, in tokens."""

    prompt: str
    prompt_number: int
    """Several choices of one prompt share what was computed of it."""
    prompt_tokens: int
    output_tokens: int


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """A request under way."""

    wanted: Many[Wanted]
    listener: Listener
    request_id: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """What else the log says about it."""
    finish_reason: str = "stop"
    sequences: list[Sequence] = field(default_factory=list)
    open_choices: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    energy_uj: int = 0
    arrived_ns: int = 0
    started_ns: int | None = None
    first_token_ns: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts."""
        return sum({one.prompt_number: one.prompt_tokens for one in self.wanted}.values())


class Engine:
    """One model on its devices."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        costs: Costs,
        devices: Devices,
        log: RequestLog,
        prefixes: PrefixCache,
        memory_bytes: int = 0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._scheduler = scheduler
        self._costs = costs
        self._devices = devices
        self._log = log
        self._prefixes = prefixes
        self._memory_bytes = memory_bytes
        self._now_ns = monotonic_ns
        self._sleep = sleep
        self._wake = asyncio.Event()
        self._unlimited = math.isinf(costs.speeds.speed)
        self.metrics = Metrics()

    def fits(self, tokens: int) -> bool:
        """Whether so long an answer can be made at all."""
        return self._scheduler.fits(tokens)

    def submit(self, job: Job) -> None:
        """Queue a request."""
        job.arrived_ns = self._now_ns()
        job.open_choices = len(job.wanted)
        seen: set[int] = set()
        for index, one in enumerate(job.wanted):
            again = one.prompt_number in seen
            seen.add(one.prompt_number)
            cached = one.prompt_tokens if again else self._prefixes.look_up(one.prompt)
            sequence = Sequence(
                owner=job, index=index, prompt_tokens=one.prompt_tokens, output_tokens=one.output_tokens,
                cached_tokens=cached,
            )  # fmt: skip
            job.cached_tokens += 0 if again else sequence.cached
            job.sequences.append(sequence)
            self._scheduler.add(sequence)
        self.metrics.prompt_tokens += job.prompt_tokens
        self._wake.set()

    def cancel(self, job: Job) -> None:
        """Whoever asked is gone: free everything that the request holds."""
        if not job.open_choices:
            return
        job.open_choices = 0
        for sequence in job.sequences:
            self._scheduler.remove(sequence)
        self._end(job, outcome="cancelled", reason="abort")

    def now(self) -> Now:
        """What is so at the moment."""
        scheduler = self._scheduler
        return Now(
            running=len({id(one.owner) for one in scheduler.running}),
            waiting=len({id(one.owner) for one in scheduler.waiting}),
            kv_used=scheduler.used_blocks / max(1, scheduler.limits.kv_blocks),
            preemptions=scheduler.preemptions,
            prefix_queries=self._prefixes.queried_tokens,
            prefix_hits=self._prefixes.hit_tokens,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        free_ns = self._now_ns()
        while True:
            work = self._scheduler.plan()
            if not work:
                self._devices.rest(free_ns)
                self._wake.clear()
                await self._wake.wait()
                free_ns = self._now_ns()
                continue
            now_ns = self._now_ns()
            start_ns = free_ns if now_ns - free_ns < _CATCH_UP_NS and not self._unlimited else now_ns
            cost = self._costs.of(work)
            free_ns = start_ns + cost.duration_ns
            for one, share_uj in zip(work, cost.shares_uj, strict=True):
                job: Job = one.sequence.owner
                job.energy_uj += share_uj
                if job.started_ns is None:
                    job.started_ns = start_ns
                    self.metrics.queue.observe((start_ns - job.arrived_ns) / 1e9)
            self._devices.step(start_ns=start_ns, end_ns=free_ns, active_uj=cost.active_uj, load=self._load())
            await self._until(free_ns)
            self._hand_out(self._scheduler.finish(work))

    async def _until(self, time_ns: int) -> None:
        await self._sleep(0 if self._unlimited else max(0, time_ns - self._now_ns()) / 1e9)

    def _load(self) -> Load:
        scheduler = self._scheduler
        used = scheduler.used_blocks / max(1, scheduler.limits.kv_blocks)
        return Load(utilisation_percent=100, memory_used_bytes=int(self._memory_bytes * (0.2 + 0.7 * used)))

    def _hand_out(self, advanced: Many[Sequence]) -> None:
        now_ns = self._now_ns()
        for sequence in advanced:
            job: Job = sequence.owner
            if job.first_token_ns is None:
                job.first_token_ns = now_ns
                self.metrics.ttft.observe((now_ns - job.arrived_ns) / 1e9)
            if not job.open_choices:
                continue
            job.open_choices -= sequence.done
            job.output_tokens += sequence.output_tokens > 0
            if not job.open_choices:
                # Before the client can know that it is over, so that nothing it has acknowledged is missing here.
                self._end(job, outcome="completed", reason=job.finish_reason)
            if sequence.output_tokens and not job.listener.token(
                sequence.index, sequence.produced - 1, last=sequence.done
            ):
                self.cancel(job)
            elif not job.open_choices:
                job.listener.finished(job)

    def _end(self, job: Job, *, outcome: str, reason: str) -> None:
        end_ns = self._now_ns()
        metrics = self.metrics
        metrics.generation_tokens += job.output_tokens
        metrics.finished[reason] += 1
        metrics.e2e.observe((end_ns - job.arrived_ns) / 1e9)
        if job.output_tokens > 1 and job.first_token_ns is not None:
            metrics.tpot.observe((end_ns - job.first_token_ns) / 1e9 / (job.output_tokens - 1))
        self._log.write(
            request_id=job.request_id,
            **job.facts,
            outcome=outcome,
            finish_reason=reason,
            prompt_tokens=job.prompt_tokens,
            cached_prompt_tokens=job.cached_tokens,
            output_tokens=job.output_tokens,
            arrived_ns=job.arrived_ns,
            first_token_ns=job.first_token_ns,
            end_ns=end_ns,
            energy_mj=job.energy_uj / 1000,
        )
