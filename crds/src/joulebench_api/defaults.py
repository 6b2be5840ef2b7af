"""Defaults that stand behind all configuration. They are no schema defaults, so that what was chosen stays known."""

from joulebench_api.contracts.energy import Method
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun, BenchmarkRunSpec
from joulebench_api.v1alpha1.energy import Energy, EnergyPolicy
from joulebench_api.v1alpha1.results import Results
from joulebench_api.v1alpha1.storage import ClaimTemplate, Store
from joulebench_api.v1alpha1.texts import Duration

CONCURRENCY = 1
ENERGY = Energy(
    policy=EnergyPolicy.PREFERRED, attribution=Method.PHASE, idle_baseline=Duration("30s"), min_coverage_percent=99
)
STORE = Store(claim_template=ClaimTemplate(size="10Gi"))


def resolve(run: BenchmarkRun) -> BenchmarkRun:
    """The run with the built-in defaults filled in where it says nothing; what it says is never changed."""
    return run.model_copy(update={"spec": _resolve_spec(run.spec)})


def _resolve_spec(spec: BenchmarkRunSpec) -> BenchmarkRunSpec:
    update: dict[str, object] = {"energy": _resolve_energy(spec.energy), "results": _resolve_results(spec.results)}
    # The stages of a load say their own pace.
    if spec.concurrency is None and spec.load is None:
        update["concurrency"] = CONCURRENCY
    return spec.model_copy(update=update)


def _resolve_energy(energy: Energy) -> Energy:
    absent = {name for name in Energy.model_fields if getattr(energy, name) is None}
    return energy.model_copy(update={name: getattr(ENERGY, name) for name in absent - {"domains"}})


def _resolve_results(results: Results) -> Results:
    return results if results.store is not None else results.model_copy(update={"store": STORE})
