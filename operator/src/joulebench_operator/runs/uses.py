"""Which ModelServers a run names, and whether it still needs them."""

from collections.abc import Mapping
from typing import Any

from joulebench_api.conditions import ConditionType
from joulebench_api.v1alpha1.server_source import Access
from joulebench_operator.runs import attempts, recorded
from joulebench_operator.runs.recorded import objects, text


def uses(run: Mapping[str, Any]) -> dict[str, Access]:
    """The ModelServers that a run names as model, judge or submodel, and how it wants them."""
    spec = run.get("spec") or {}
    sources = [spec.get("server"), (spec.get("judge") or {}).get("server")]
    sources += [submodel.get("server") for submodel in objects(spec.get("submodels"))]
    wanted: dict[str, Access] = {}
    for source in sources:
        name = _named(source or {})
        if name is not None:
            shares = (source or {}).get("access") == Access.SHARED and wanted.get(name) is not Access.EXCLUSIVE
            wanted[name] = Access.SHARED if shares else Access.EXCLUSIVE
    return wanted


def is_finished(run: Mapping[str, Any]) -> bool:
    """Whether a run has ended, and was not asked to start again since."""
    return attempts.current(run, recorded.of(run)).recorded.holds(ConditionType.FINISHED)


def _named(source: Mapping[str, Any]) -> str | None:
    reference = source.get("modelServerRef")
    return text(reference.get("name")) if isinstance(reference, Mapping) else None
