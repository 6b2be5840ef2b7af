"""Names that stay the same across processes, restarts and machines."""

import hashlib
import re
from dataclasses import dataclass

QUERY_ID_LENGTH = 16

MODEL_ALIAS = "model"
"""Alias of the model under test. The judge's is `judge`; a submodel's is its own name."""

JUDGE_ALIAS = "judge"

GRADER_ROLE = "grader"
"""The role under which inspect-ai's own scorers look for a judge; no submodel may have it for a name."""


def query_id(*, task: str, dataset_revision: str, record_id: str, epoch: int) -> str:
    """The identity of one question of one epoch: 16 hex digits, the same on every machine and in every attempt."""
    # A separator that cannot occur in any of the parts keeps ("a", "bc") and ("ab", "c") apart.
    text = "\x1f".join((task, dataset_revision, record_id, str(epoch)))
    return hashlib.sha256(text.encode()).hexdigest()[:QUERY_ID_LENGTH]


def call_path(*, alias: str, query_id: str | None = None, attempt: int = 0) -> str:
    """The proxy path that bills a call to a query: `/m/<alias>/q/<query_id>.<attempt>/v1`.

    Without a query id the call is accepted, counted and billed to `unattributed` with reason `unjoined`.
    """
    if query_id is None:
        return f"/m/{alias}/v1"
    return f"/m/{alias}/q/{query_id}.{attempt}/v1"


REQUEST_ID_HEADER = "X-Request-Id"
"""Carries `request_id` to the model server, so that its log can be joined with ours."""

_REQUEST_ID = re.compile(r"(?:(?P<query_id>[0-9a-f]{16})\.(?P<attempt>\d+)\.)?(?P<call_id>[0-9a-f]{16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallIdentity:
    """Whose call a request is. `query_id` and `attempt` are None for calls that belong to no query."""

    query_id: str | None
    attempt: int | None
    call_id: str


def request_id(*, call_id: str, query_id: str | None = None, attempt: int | None = None) -> str:
    """`<query_id>.<attempt>.<call_id>`, or `<call_id>` alone: no two calls have the same, as some servers demand."""
    return call_id if query_id is None else f"{query_id}.{attempt or 0}.{call_id}"


def parse_request_id(text: str | None) -> CallIdentity | None:
    """The reverse of `request_id`; None for ids that others made."""
    found = _REQUEST_ID.fullmatch(text or "")
    if found is None:
        return None
    attempt = found["attempt"]
    return CallIdentity(
        query_id=found["query_id"], attempt=None if attempt is None else int(attempt), call_id=found["call_id"]
    )
