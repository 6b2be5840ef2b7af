"""What the meters of all shards say, as if one meter said it."""

from collections.abc import Sequence
from typing import Final

from joulebench_api.contracts.meter import EnergyState, MeterStatus, Progress, Stage
from joulebench_api.v1alpha1.status import RunCounts

_ASKING_FIRST: Final = (Stage.RUN, Stage.WARMUP, Stage.BASELINE, Stage.STARTUP)
"""The run is in the first of these that any shard is in."""
_COUNTED: Final = (
    "asked",
    "answered",
    "correct",
    "incorrect",
    "unscored",
    "errors",
    "finished_before",
    "output_tokens",
)


def together(told: Sequence[MeterStatus], ended: Sequence[RunCounts]) -> MeterStatus | None:
    """Sums over the shards that run (`told`) and those that have ended well; None while nobody tells anything."""
    if not told:
        return None
    stage = next((one for one in _ASKING_FIRST if any(status.stage is one for status in told)), told[0].stage)
    return told[0].model_copy(
        update={
            "stage": stage,
            "stage_started_seconds_ago": max(one.stage_started_seconds_ago for one in told if one.stage is stage),
            "progress": _progress([status.progress for status in told], ended),
            "energy": _energy(told),
        }
    )


def _progress(told: Sequence[Progress], ended: Sequence[RunCounts]) -> Progress:
    sums = {
        name: sum(getattr(one, name) for one in told) + sum(getattr(one, name, None) or 0 for one in ended)
        for name in _COUNTED
    }
    totals = [*(one.total for one in told), *(one.asked for one in ended)]
    return Progress(total=None if None in totals else sum(total or 0 for total in totals), **sums)


def _energy(told: Sequence[MeterStatus]) -> EnergyState:
    """All of them look at the same devices, so nothing is summed: that of who has seen the most."""
    return max((status.energy for status in told), key=lambda energy: -1.0 if energy.joules is None else energy.joules)
