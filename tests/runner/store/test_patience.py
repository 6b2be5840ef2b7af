"""Trying again: bounded, with growing waits, and not for what will not pass."""

import itertools
from collections.abc import Callable

import pytest

from joulebench_runner.store.failures import is_passing
from joulebench_runner.store.patience import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, Patience, waits


class Minute:
    """A clock that only waiting moves, and a service that is away until a moment."""

    def __init__(self, *, back_at: float = float("inf")) -> None:
        self.now = 0.0
        self.tries = 0
        self._back_at = back_at

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def work(self) -> str:
        self.tries += 1
        if self.now < self._back_at:
            raise OSError("away")
        return "here"

    def patience(self, seconds: float) -> Patience:
        return Patience(seconds=seconds, clock=lambda: self.now, sleep=self.sleep)


def always(_error: OSError) -> bool:
    return True


def test_what_comes_back_in_time_is_had() -> None:
    minute = Minute(back_at=60)
    assert minute.patience(120).call(minute.work, is_passing=always) == "here"
    assert 60 <= minute.now <= 60 + LONGEST_WAIT_SECONDS


def test_patience_ends() -> None:
    minute = Minute()
    with pytest.raises(OSError, match="away"):
        minute.patience(120).call(minute.work, is_passing=always)
    assert 120 - LONGEST_WAIT_SECONDS <= minute.now <= 120
    assert minute.tries < 20


def test_no_patience_is_one_try() -> None:
    minute = Minute()
    with pytest.raises(OSError, match="away"):
        minute.patience(0).call(minute.work, is_passing=always)
    assert (minute.tries, minute.now) == (1, 0)


def test_what_will_not_pass_is_told_at_once() -> None:
    minute = Minute()
    with pytest.raises(OSError, match="away"):
        minute.patience(120).call(minute.work, is_passing=lambda _error: False)
    assert minute.tries == 1


def test_waits_grow_and_stay_bounded() -> None:
    first, *rest = itertools.islice(waits(), 20)
    assert 0.75 * FIRST_WAIT_SECONDS <= first <= FIRST_WAIT_SECONDS
    assert all(0.75 * LONGEST_WAIT_SECONDS <= wait <= LONGEST_WAIT_SECONDS for wait in rest[5:])


@pytest.mark.parametrize(
    ("make", "passing"),
    [
        (lambda: OSError("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7"), True),
        (lambda: OSError("AWS Error SLOW_DOWN during PutObject operation"), True),
        (lambda: OSError(28, "No space left on device"), True),
        (lambda: OSError("AWS Error ACCESS_DENIED during PutObject operation"), False),
        (lambda: OSError("AWS Error SIGNATURE_DOES_NOT_MATCH during PutObject operation"), False),
        (lambda: OSError("AWS Error NO_SUCH_BUCKET during PutObject operation"), False),
        (lambda: PermissionError(13, "Permission denied"), False),
    ],
)
def test_which_errors_may_pass(make: Callable[[], OSError], passing: bool) -> None:
    assert is_passing(make()) is passing
