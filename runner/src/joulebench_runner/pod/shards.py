"""A run whose questions several pods share: which of them this is, and what its own part is. Pure."""

from collections.abc import Mapping

from joulebench_api.contracts.assignment import SHARD_VARIABLE, Assignment
from joulebench_runner.config import DriverSettings, Shard
from joulebench_runner.errors import BadInputError


def shard_of(assignment: Assignment, *, environ: Mapping[str, str]) -> Shard | None:
    """Which shard this pod is; None for a run of one pod. Raises BadInputError where that is not known."""
    count = assignment.run.spec.shards
    if count == 1:
        return None
    index = environ.get(SHARD_VARIABLE, "")
    if not index.isdecimal() or int(index) >= count:
        raise BadInputError(
            f"{SHARD_VARIABLE} is {index!r}; of {count} shards it is 0 to {count - 1}",
            remedy="Make the pods by an Indexed Job with spec.shards completions.",
        )
    return Shard(index=int(index), count=count)


def own_settings(settings: DriverSettings, shard: Shard) -> DriverSettings:
    """A driver's settings with its own part of what is for the whole run.

    A part of all questions in `max_errors` is the same part of the shard's own.
    """
    errors = settings.max_errors
    own = {
        "shard": shard,
        "concurrency": part_of(settings.concurrency, shard),
        "max_errors": part_of(errors, shard) if isinstance(errors, int) else errors,
    }
    return settings.model_copy(update=own)


def part_of(total: int, shard: Shard) -> int:
    """A shard's part of a number; the first shards have one more where it does not divide. All parts sum to it."""
    return total // shard.count + (shard.index < total % shard.count)
