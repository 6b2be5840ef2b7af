"""Time limits that the operator keeps beside the Job's own deadline."""

from datetime import datetime

from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_operator.runs.recorded import Recorded, time_of
from joulebench_operator.runs.stages import RunStage, elapsed


def left_seconds(stage: RunStage, recorded: Recorded, spec: BenchmarkRunSpec, *, now: datetime) -> float | None:
    """How much time is left for what is going on; None where nothing but the Job's deadline limits it."""
    if stage is RunStage.SERVER:
        return spec.timeouts.server_ready.seconds - elapsed(recorded, stage, now=now).total_seconds()
    if stage is RunStage.RUN:
        return spec.timeouts.run.seconds - elapsed(recorded, stage, now=now).total_seconds()
    if stage is RunStage.QUEUE and spec.timeouts.queue is not None:
        return spec.timeouts.queue.seconds - _since_start_seconds(recorded, now)
    return None


def _since_start_seconds(recorded: Recorded, now: datetime) -> float:
    began = time_of(recorded.status.get("startTime"))
    return 0.0 if began is None else (now - began).total_seconds()


def left_to_live_seconds(spec_ttl_seconds: float | None, completed: datetime | None, *, now: datetime) -> float | None:
    """How long the children of a run that has ended stay; None: for ever."""
    if spec_ttl_seconds is None or completed is None:
        return None
    return spec_ttl_seconds - (now - completed).total_seconds()
