"""What a step takes: time and energy, both affine in what is in the batch. Pure, in whole nanoseconds and microjoules.

    time   = step + prefill tokens x prefill + sequences that decode x decode          (divided by `speed`)
    energy = resting power x time + busy power x time + prefill tokens x J + decoded tokens x J

A request's true share is what its own tokens cost, and an equal part of what the step costs anyway: the Shapley value
of this cost function.
"""

import math
from collections.abc import Sequence as Many
from dataclasses import dataclass

from joulebench_simulator.scheduler import Work

_NS_UW = 1_000_000
"""Nanoseconds x milliwatts in a microjoule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """How long things take, in nanoseconds."""

    step_ns: int = 6_000_000
    prefill_token_ns: int = 40_000
    decode_token_ns: int = 60_000
    speed: float = 1.0
    """All times are divided by it; infinity: no time at all."""

    def step_time_ns(self, *, prefill: int, decode: int) -> int:
        """Time of a step with so many tokens of prompts, and so many sequences that decode."""
        if math.isinf(self.speed):
            return 0
        return round((self.step_ns + prefill * self.prefill_token_ns + decode * self.decode_token_ns) / self.speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What things cost, over all devices together but for the resting power, which each device has."""

    resting_mw: int = 120_000
    busy_mw: int = 150_000
    """On top of the resting power, while a step is computed."""
    prefill_token_uj: int = 55_000
    decode_token_uj: int = 140_000


@dataclass(slots=True)
class StepCost:
    """One step. `shares_uj` in the order of the work; they add up to active and resting energy of the step."""

    duration_ns: int
    prefill: int
    decode: int
    active_uj: int
    """Without the resting power of the devices."""
    shares_uj: list[int]


class Costs:
    """Prices steps for a number of devices."""

    def __init__(self, speeds: Speeds, power: Power, *, devices: int = 1) -> None:
        self.speeds = speeds
        self.power = power
        self._devices = devices

    def of(self, work: Many[Work]) -> StepCost:
        """The cost of a step that does something."""
        power = self.power
        prefill = decode = 0
        own = []
        for one in work:
            prefill += one.prefill
            decode += one.decode
            own.append(one.prefill * power.prefill_token_uj + one.decode * power.decode_token_uj)
        duration_ns = self.speeds.step_time_ns(prefill=prefill, decode=decode)
        busy_uj = duration_ns * power.busy_mw // _NS_UW
        resting_uj = duration_ns * power.resting_mw // _NS_UW * self._devices
        equal, rest = divmod(busy_uj + resting_uj, len(own))
        shares = [cost + equal + (index < rest) for index, cost in enumerate(own)]
        return StepCost(duration_ns, prefill, decode, busy_uj + sum(own), shares)
