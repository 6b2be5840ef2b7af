"""What the costs of a run are reckoned from, out of its tables."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.summary import CostBasis, Counts, TokensOfServer
from joulebench_runner.attribution.arrays import Bools, Ints
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.energy import DeviceTotals, RunEnergy
from joulebench_runner.results.tables import UNKNOWN, codes

ALL_IN = (Bucket.QUERIES, Bucket.IDLE, Bucket.JUDGE)
"""The buckets that a run answers for."""


def cost_basis(energy: RunEnergy, calls: CallTable, counts: Counts, *, scored: bool) -> CostBasis:
    """Energy, accelerators, questions and tokens of the measured window."""
    accelerators = [device for device in energy.devices if device.facts.domain == Domain.GPU]
    return CostBasis(
        energy_mj=int(energy.buckets_mj[list(ALL_IN)].sum()) if energy.devices else None,
        energy_problem=energy.problem,
        accelerators=len(accelerators),
        accelerator_ns=sum(device.window_ns for device in accelerators) if accelerators else None,
        accelerator_ns_by_product=_by_product(accelerators),
        queries=counts.asked,
        correct=counts.correct if scored else None,
        tokens=_tokens(calls),
    )


def _by_product(accelerators: Iterable[DeviceTotals]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for device in accelerators:
        found[device.facts.name] += device.window_ns
    return dict(found)


def _tokens(calls: CallTable) -> dict[str, TokensOfServer]:
    """By alias, over the calls that were answered for the questions, those of submodels and judge among them."""
    aliases = codes(calls.table["alias"])
    counted = calls.is_turn | (calls.is_judge & calls.succeeded)
    found = {}
    for code, alias in enumerate(aliases.names):
        rows = counted & (aliases.codes == code)
        if rows.any():
            found[alias] = TokensOfServer(
                prompt=_sum(calls.ints("prompt_tokens"), rows),
                cached_prompt=_sum(calls.ints("cached_prompt_tokens"), rows),
                output=_sum(calls.output_tokens, rows),
            )
    return found


def _sum(values: Ints, rows: Bools) -> int | None:
    chosen = values[rows]
    return None if bool(np.any(chosen == UNKNOWN)) else int(chosen.sum())
