"""How the runner's Job and its pods stand while the attempt is on: one, or one for each shard."""

from dataclasses import dataclass

from joulebench_api.contracts.meter import MeterStatus, Stage
from joulebench_api.contracts.ports import METER_STATUS_PORT
from joulebench_api.v1alpha1.status import RunCounts
from joulebench_operator.addresses import address, with_port
from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import MeterStatus as MeterInquiry
from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen, last_words, trouble
from joulebench_operator.runs.together import together
from joulebench_operator.runs.trouble import Trouble
from joulebench_operator.runs.volumes import FETCH, METER, PREFLIGHT

_ENDING = frozenset({Stage.SHUTDOWN, Stage.EXPORT})


@dataclass(frozen=True)
class Runner:
    """The runner, as far as is known."""

    job: Object | None
    pods: tuple[Object, ...]
    """The newest first."""
    trouble: Trouble | None = None
    inquiries: tuple[MeterInquiry, ...] = ()
    status: MeterStatus | None = None
    """What its meter answered, or those of all shards that run."""
    is_heard_of: bool = True
    """Whether `status` tells of all shards."""

    @property
    def current(self) -> list[Object]:
        """The newest pod, of each shard."""
        return jobs_seen.newest_of_each(list(self.pods))

    @property
    def is_running(self) -> bool:
        """Whether its meter runs, or that of any shard."""
        return bool(self.inquiries)

    @property
    def is_ending(self) -> bool:
        """Whether all is asked: by the meter's word, or because it has ended well."""
        if self.status is not None:
            return self.status.stage in _ENDING
        return self.has_ended_well

    @property
    def has_ended_well(self) -> bool:
        """Whether its meter has ended and nothing went wrong; its Job says so in a moment."""
        well = [pod for pod in self.current if _ended_well(pod)]
        return self.job is not None and len(well) == jobs_seen.pods_wanted(self.job)

    @property
    def is_asking(self) -> bool:
        """Whether questions are asked, or are about to be: the servers answered it."""
        return self.status is not None and self.status.stage is not Stage.STARTUP

    @property
    def failures(self) -> int:
        """How many of its pods have failed."""
        counted = 0 if self.job is None else jobs_seen.failures(self.job)
        return max(counted, 1) if self.has_failed else counted

    @property
    def has_failed(self) -> bool:
        """Whether its newest pod has, or is about to: a container of it has."""
        return bool(self._failed)

    def is_given_up(self, *, retry_limit: int) -> bool:
        """Whether its newest pod, or that of a shard, has failed and no other follows: the rules of its Job (`jobs`),
        before it applies them."""
        failed = [pod for pod in self._failed if not jobs_seen.is_disrupted(pod)]
        if self.job is None or not failed:
            return False
        is_final = any(_is_final(pod) for pod in failed)
        return jobs_seen.is_given_up(self.job) or is_final or self._counted_failures > retry_limit

    @property
    def _failed(self) -> list[Object]:
        return [pod for pod in self.current if _has_failed(pod)]

    @property
    def _counted_failures(self) -> int:
        """How many of its pods have failed that count as tries; those that the Job has not counted yet, too."""
        seen = sum(_has_failed(pod) and not _is_ignored(pod) for pod in self.pods)
        return max(0 if self.job is None else jobs_seen.failures(self.job), seen)

    @property
    def waits_for_quota(self) -> bool:
        """Whether Kueue holds it back."""
        return self.job is not None and jobs_seen.is_suspended(self.job)


def _has_failed(pod: Object) -> bool:
    return any(jobs_seen.exit_codes(pod).values())


def _is_final(pod: Object) -> bool:
    codes = jobs_seen.exit_codes(pod)
    first_steps = (codes.get(name) for name in (PREFLIGHT, FETCH))
    return codes.get(METER) in jobs_seen.FINAL_CODES or jobs_seen.WRONG_INPUT in first_steps


def _is_ignored(pod: Object) -> bool:
    return jobs_seen.is_disrupted(pod) or jobs_seen.exit_codes(pod).get(METER) == jobs_seen.INTERRUPTED


def runner(job: Object | None, pods: list[Object], cache: Cache) -> Runner:
    """What the cluster and the meters say."""
    if job is None or not pods or jobs_seen.is_suspended(job):
        return Runner(job, tuple(pods))
    current = jobs_seen.newest_of_each(pods)
    inquiries = tuple(inquiry for pod in current if (inquiry := _inquiry(pod)) is not None)
    told = [status for inquiry in inquiries if (status := cache.answer(inquiry)) is not None]
    ended = [counts for pod in current if (counts := _counts(pod)) is not None]
    return Runner(
        job,
        tuple(pods),
        next((found for pod in current if (found := trouble.of_pod(pod)) is not None), None),
        inquiries,
        together(told, ended),
        is_heard_of=len(told) + len(ended) == jobs_seen.pods_wanted(job),
    )


def _ended_well(pod: Object) -> bool:
    return (jobs_seen.ended(pod, METER) or {}).get("exitCode") == 0


def _counts(pod: Object) -> RunCounts | None:
    """What a shard has asked that has ended well."""
    words = last_words.read(jobs_seen.message(pod, METER)) if _ended_well(pod) else None
    return None if words is None or words.summary is None else words.summary.counts


def _inquiry(pod: Object) -> MeterInquiry | None:
    host = address(pod)
    if host is None or "running" not in jobs_seen.container(pod, METER):
        return None
    return MeterInquiry(f"http://{with_port(host, METER_STATUS_PORT)}")
