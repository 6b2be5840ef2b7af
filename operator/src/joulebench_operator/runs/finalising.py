"""The step after a run's shards: one Job that makes the results of all their journals together."""

from dataclasses import dataclass
from typing import Final

from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen
from joulebench_operator.runs.recorded import Recorded
from joulebench_operator.runs.stages import RunStage, known
from joulebench_operator.runs.volumes import METER


@dataclass(frozen=True)
class Finalising:
    """How it stands."""

    is_due: bool = False
    """Whether it is to be done now, or was: the shards have ended, and there may be something to make results of."""
    job: Object | None = None
    pods: tuple[Object, ...] = ()
    """The newest first."""


NOT_DUE: Final = Finalising()


def is_due(runner_job: Object | None, runner_pods: list[Object], recorded: Recorded, *, shards: int) -> bool:
    """Whether the shards have ended: all of them well, or in any way after they began to ask.

    What was asked until a run failed has results, as with one pod.
    """
    if shards == 1 or runner_job is None or not jobs_seen.is_over(runner_job):
        return False
    has_asked = any(one["name"] == RunStage.RUN for one in known(recorded))
    return jobs_seen.completed(runner_job) or has_asked or any(jobs_seen.ended(pod, METER) for pod in runner_pods)
