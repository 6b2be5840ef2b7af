"""Names that stay the same across processes, restarts and machines."""

import hashlib

QUERY_ID_LENGTH = 16

MODEL_ALIAS = "model"
"""Alias of the model under test. The judge's is `judge`; a submodel's is its own name."""

JUDGE_ALIAS = "judge"


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
