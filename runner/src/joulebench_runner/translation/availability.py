"""What a benchmark may ask for that this release cannot do: refused alike by a local run and by preflight. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from joulebench_api.conditions import Reason
from joulebench_api.contracts.energy import Method
from joulebench_api.v1alpha1 import BenchmarkRunSpec

METHODS: Final = (Method.PHASE, Method.EQUAL)


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """A field that asks for something that is not there."""

    field: str
    """Its path, such as `spec.sandbox.mode`."""
    reason: Reason
    message: str
    remedy: str
    value: str | None = None


def unavailable(spec: BenchmarkRunSpec) -> Iterator[Unavailable]:
    """Every such field of a run."""
    if spec.agent is not None:
        yield Unavailable(
            field="spec.agent",
            value=spec.agent.name,
            reason=Reason.AGENT_UNAVAILABLE,
            message="not available",
            remedy="agents are not available yet; leave agent out to ask in a single turn",
        )
    if spec.load is not None:
        yield Unavailable(
            field="spec.load",
            reason=Reason.NOT_SUPPORTED,
            message="not available",
            remedy="load runs are not available yet; leave load out to ask scored questions",
        )
    if spec.sandbox is not None and spec.sandbox.mode not in {None, "None"}:
        yield Unavailable(
            field="spec.sandbox.mode",
            value=spec.sandbox.mode.value,
            reason=Reason.SANDBOX_UNAVAILABLE,
            message=f"{spec.sandbox.mode.value!r} is not available",
            remedy="use mode: None, or leave sandbox out",
        )
    if spec.energy.attribution not in METHODS:
        yield Unavailable(
            field="spec.energy.attribution",
            value=str(spec.energy.attribution),
            reason=Reason.NOT_SUPPORTED,
            message=f"{spec.energy.attribution!s} is not available",
            remedy=f"use one of {', '.join(METHODS)}",
        )
