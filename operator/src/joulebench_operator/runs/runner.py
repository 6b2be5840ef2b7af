"""How the runner's Job and its pod stand while the attempt is on."""

from dataclasses import dataclass

from joulebench_api.contracts.meter import MeterStatus, Stage
from joulebench_api.contracts.ports import METER_STATUS_PORT
from joulebench_operator.addresses import address, with_port
from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import MeterStatus as MeterInquiry
from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen, trouble
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
    inquiry: MeterInquiry | None = None
    status: MeterStatus | None = None
    """What its meter answered."""

    @property
    def is_running(self) -> bool:
        """Whether its meter runs."""
        return self.inquiry is not None

    @property
    def is_ending(self) -> bool:
        """Whether all is asked: by the meter's word, or because it has ended well."""
        if self.status is not None:
            return self.status.stage in _ENDING
        end = jobs_seen.ended(self.pods[0], METER) if self.pods else None
        return end is not None and end.get("exitCode") == 0

    @property
    def has_ended_well(self) -> bool:
        """Whether its meter has ended and nothing went wrong; its Job says so in a moment."""
        end = jobs_seen.ended(self.pods[0], METER) if self.pods else None
        return end is not None and end.get("exitCode") == 0

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
        return bool(self.pods) and _has_failed(self.pods[0])

    def is_given_up(self, *, retry_limit: int) -> bool:
        """Whether its newest pod has failed and no other follows: the rules of its Job (`jobs`), before it applies
        them."""
        if self.job is None or not self.has_failed or jobs_seen.is_disrupted(self.pods[0]):
            return False
        return jobs_seen.is_given_up(self.job) or self._is_final or self._counted_failures > retry_limit

    @property
    def _is_final(self) -> bool:
        codes = jobs_seen.exit_codes(self.pods[0])
        return codes.get(METER) in jobs_seen.FINAL_CODES or any(
            codes.get(name) == jobs_seen.WRONG_INPUT for name in (PREFLIGHT, FETCH)
        )

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


def _is_ignored(pod: Object) -> bool:
    return jobs_seen.is_disrupted(pod) or jobs_seen.exit_codes(pod).get(METER) == jobs_seen.INTERRUPTED


def runner(job: Object | None, pods: list[Object], cache: Cache) -> Runner:
    """What the cluster and the meter say."""
    if job is None or not pods or jobs_seen.is_suspended(job):
        return Runner(job, tuple(pods))
    newest = pods[0]
    inquiry = _inquiry(newest)
    status = None if inquiry is None else cache.answer(inquiry)
    return Runner(job, tuple(pods), trouble.of_pod(newest), inquiry, status)


def _inquiry(pod: Object) -> MeterInquiry | None:
    host = address(pod)
    if host is None or "running" not in jobs_seen.container(pod, METER):
        return None
    return MeterInquiry(f"http://{with_port(host, METER_STATUS_PORT)}")
