"""Names, labels and annotations that the operator gives to what it makes."""

import hashlib
from typing import Final

FIELD_MANAGER: Final = "joulebench-operator"
"""Of children; `status` has one of its own."""
STATUS_MANAGER: Final = "joulebench-operator-status"

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "joulebench"
"""The value of MANAGED_BY on everything that the operator makes, and on the exporter's pods: what it watches."""

SERVER_LABEL: Final = "joulebench.dev/server"
"""On all that belongs to a ModelServer: its name."""
RUN_LABEL: Final = "joulebench.dev/run"
"""On all that belongs to a BenchmarkRun: its name."""
ATTEMPT_LABEL: Final = "joulebench.dev/attempt"
PART_LABEL: Final = "app.kubernetes.io/component"
"""`server`, `runner`, `preflight`, `finalise`, `exporter`, ..."""

INTENT: Final = "joulebench.dev/intent"
"""Annotation: hash of what was last applied, so that nothing is written when nothing changed."""

SERVER_PART: Final = "server"
RUNNER_PART: Final = "runner"
PREFLIGHT_PART: Final = "preflight"
FINALISE_PART: Final = "finalise"
EXPORTER_PART: Final = "exporter"

_HASH_LENGTH: Final = 6


def child_name(base: str, suffix: str, *, limit: int = 63) -> str:
    """`base-suffix`; where that is too long, the base is cut and a hash of it keeps names apart."""
    name = f"{base}-{suffix}"
    if len(name) <= limit:
        return name
    mark = hashlib.sha256(base.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{base[: limit - len(suffix) - _HASH_LENGTH - 2].rstrip('-')}-{mark}-{suffix}"
