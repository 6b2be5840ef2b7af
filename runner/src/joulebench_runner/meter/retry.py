"""When a call is tried again, and after how long. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
FIRST_DELAY_SECONDS: Final = 0.25
LONGEST_DELAY_SECONDS: Final = 10.0
LONGEST_RETRY_AFTER_SECONDS: Final = 120.0
"""A server that asks for more patience than this is tried earlier."""


def delay_seconds(retry: int, *, headers: Mapping[str, str] | None, now: datetime) -> float:
    """How long to wait before try number `retry` (1, 2, ...): what the server asks for, else doubling and capped.

    A server that asks for none ("at once") and refuses again would use up all tries in a moment, so none counts as
    nothing asked for.
    """
    asked = _retry_after_seconds(headers or {}, now=now)
    if asked:
        return min(asked, LONGEST_RETRY_AFTER_SECONDS)
    return float(min(FIRST_DELAY_SECONDS * 2 ** (retry - 1), LONGEST_DELAY_SECONDS))


def _retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Retry-After (RFC 9110 section 10.2.3): seconds or a date; None if it is absent or neither."""
    value = next((text.strip() for name, text in headers.items() if name.lower() == "retry-after"), "")
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    date = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
