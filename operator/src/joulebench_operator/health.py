"""Is the operator alive, and does it work? Pure judgement; `web` serves it."""

from dataclasses import dataclass
from typing import Final

from joulebench_operator.auditing import Audit
from joulebench_operator.work_queue import WorkQueue

STUCK_SECONDS: Final = 300.0
"""No visit takes so long: every request has a time limit of its own."""


@dataclass
class Health:
    """What the probes ask. Before it leads, a replica is well, and ready to take over."""

    queue: WorkQueue | None = None
    audit: Audit | None = None

    def problem(self) -> str | None:
        """Why the process should be started anew; None while all is well."""
        if self.queue is not None and self.queue.longest_processing_seconds > STUCK_SECONDS:
            return f"a visit has taken {self.queue.longest_processing_seconds:.0f} s"
        if self.queue is not None and self.queue.oldest_seconds > STUCK_SECONDS:
            return f"an object has waited {self.queue.oldest_seconds:.0f} s to be looked at"
        if self.audit is not None and self.audit.missed:
            return f"the watches have not told of {self.audit.missed[0]} and {len(self.audit.missed) - 1} others"
        return None
