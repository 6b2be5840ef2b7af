"""How long a call waits before it is tried again."""

from datetime import UTC, datetime

import pytest

from joulebench_runner.meter.retry import LONGEST_DELAY_SECONDS, delay_seconds

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("retry", "seconds"), [(1, 0.25), (2, 0.5), (3, 1.0), (9, LONGEST_DELAY_SECONDS)])
def test_waits_double_up_to_a_limit(retry: int, seconds: float) -> None:
    assert delay_seconds(retry, headers=None, now=NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("99999", 120.0),
        ("soon", 0.25),
        ("", 0.25),
        ("-3", 0.25),
    ],
)
def test_the_server_may_say_how_long(value: str, seconds: float) -> None:
    assert delay_seconds(1, headers={"retry-after": value}, now=NOW) == seconds


@pytest.mark.parametrize("value", ["0", "Thu, 01 Jan 2026 11:00:00 GMT"])
@pytest.mark.parametrize(("retry", "seconds"), [(1, 0.25), (3, 1.0)])
def test_a_server_that_says_at_once_does_not_use_up_all_tries_at_once(value: str, retry: int, seconds: float) -> None:
    assert delay_seconds(retry, headers={"retry-after": value}, now=NOW) == seconds
