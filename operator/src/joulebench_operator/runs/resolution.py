"""A run with all defaults filled in, checked for what cannot be carried out."""

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from joulebench_api.contracts.summary import Prices
from joulebench_api.defaults import resolve as with_defaults
from joulebench_api.errors import ApiError
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun, BenchmarkRunSpec
from joulebench_operator.decision import Context
from joulebench_operator.objects import Object
from joulebench_operator.remembering import Remembered
from joulebench_operator.runs import policy, prices
from joulebench_operator.runs.refusal import RefusedRunError, refused
from joulebench_operator.servers.model_files import configured_hub, sub_path

_RUNNER = "runner"


@dataclass(frozen=True)
class ResolvedRun:
    """A run that can be carried out."""

    run: BenchmarkRun
    image: str
    """The runner's."""
    hub: str | None = None
    """The address of the hub, if the administrator chose one; what the task's source says goes before it."""
    prices: Prices | None = None
    """The administrator's, for what the run has no price of its own for."""

    @property
    def spec(self) -> BenchmarkRunSpec:
        """Its spec, with all defaults filled in."""
        return self.run.spec


def resolve(item: Object, context: Context) -> ResolvedRun:
    """The run of an object. Raises RefusedRunError."""
    return _RESOLVED(item, context)


def _resolve(item: Object, context: Context) -> ResolvedRun:
    try:
        written = _read(item)
        resolved = with_defaults(written, configuration=context.configuration)
        policy.check(written.spec, configuration=context.configuration, settings=context.settings)
        _check_paths(resolved.spec)
    except (ApiError, ValidationError) as error:
        raise refused(error) from error
    hub = configured_hub(namespace=item["metadata"]["namespace"], configuration=context.configuration)
    fleets = prices.prices(written.spec, context.configuration)
    return ResolvedRun(resolved, _image(resolved.spec, context), hub, fleets)


_RESOLVED: Final = Remembered(_resolve)


def _read(item: Object) -> BenchmarkRun:
    # Annotations are left out: kubectl keeps a copy of the whole object in one.
    kept = {name: item["metadata"][name] for name in ("name", "namespace", "labels") if name in item["metadata"]}
    spec = BenchmarkRunSpec.model_validate(item.get("spec") or {})
    return BenchmarkRun.model_validate({"metadata": kept, "spec": spec})


def _image(spec: BenchmarkRunSpec, context: Context) -> str:
    image = spec.runner.image or context.settings.images.get(_RUNNER)
    if image is None:
        raise RefusedRunError(
            "spec.runner.image: no image is known for the runner",
            remedy="name one, or ask the administrator to set defaults.runner.image",
        )
    return image


def _check_paths(spec: BenchmarkRunSpec) -> None:
    claims = {
        "spec.task.source.claim.path": None if spec.task.source is None else spec.task.source.claim,
        "spec.results.store.claim.path": None if spec.results.store is None else spec.results.store.claim,
    }
    for field, claim in claims.items():
        sub_path(None if claim is None else claim.path, field=field)
