"""What the questions asked of each model of a run: calls, tokens and joules by alias."""

from collections.abc import Iterator, Sequence

from joulebench_api.contracts.summary import ModelUse
from joulebench_runner.attribution.arrays import Bools, as_bools
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.config import Upstream
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.energy import RunEnergy
from joulebench_runner.results.summary import tokens
from joulebench_runner.results.tables import equals


def model_uses(upstreams: Sequence[Upstream], calls: CallTable, energy: RunEnergy) -> list[ModelUse]:
    """One entry a model, in the order of the run's settings."""
    return [_use(upstream, calls, energy) for upstream in upstreams]


def _use(upstream: Upstream, calls: CallTable, energy: RunEnergy) -> ModelUse:
    its = _its(upstream, calls)
    return ModelUse(
        alias=upstream.alias,
        role=upstream.role,
        name=upstream.model,
        calls=int(its.sum()),
        tokens=tokens(calls, its & calls.succeeded),
        energy_joules=_joules(its, energy) if upstream.measured else None,
    )


def _its(upstream: Upstream, calls: CallTable) -> Bools:
    """bool[N]: the calls whose joules are the questions' or the judge's."""
    counted = (calls.bucket == Bucket.QUERIES) | (calls.bucket == Bucket.JUDGE)
    return as_bools(counted & equals(calls.table, "alias", upstream.alias))


def _joules(its: Bools, energy: RunEnergy) -> float | None:
    seen = its & energy.calls.seen
    if not energy.devices or (its.any() and not seen.any()):
        return None
    return float(energy.calls.total_mj[seen].sum()) / 1000


def unseen_submodels(uses: Sequence[ModelUse], energy: RunEnergy) -> Iterator[str]:
    """Submodels that were asked and whose joules are in no question's: the answers seem cheaper than they are."""
    for use in uses:
        if energy.devices and use.role == "submodel" and use.calls and use.energy_joules is None:
            yield (
                f"the joules of the submodel {use.alias} are not known, since its devices are not measured: they are"
                f" missing from the questions' joules ({use.calls} calls)"
            )
