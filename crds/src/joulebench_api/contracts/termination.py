"""The termination message of the runner's pod: the end of a run in less than 4 KiB, which is all that Kubernetes keeps.

The operator reads it from the pod's status; everything else is in the store.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.v1alpha1.status import RunSummary, StoredFile

MAX_BYTES: Final = 4000
"""Kubernetes keeps 4,096 bytes of a message; more is cut off in the middle of it."""

MAX_TEXT: Final = 512
"""Characters of each text that somebody else wrote."""

EXIT_INFRASTRUCTURE: Final = 75
"""Exit status of a container that gives up for a reason that a retry may mend (EX_TEMPFAIL of sysexits.h)."""


class TerminationMessage(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = SCHEMA_VERSION
    state: Literal["completed", "failed", "error-limit", "interrupted"]
    energy_incomplete: bool = False
    """Whether less was covered than policy Required allows; the results are kept."""
    message: str | None = None
    remedy: str | None = None
    task: ResolvedTask | None = None
    runner_version: str | None = None
    sensor: str | None = None
    summary: RunSummary | None = None
    """The figures of `status.summary`; the operator copies them as they are."""
    results: StoredFile | None = None

    def as_message(self) -> str:
        """The message as text of at most MAX_BYTES; long texts are cut, then what the store has is left out."""
        for short in (self._with_texts_of(MAX_TEXT), self._with_texts_of(64), self._least()):
            text = short.model_dump_json(exclude_none=True, by_alias=True)
            if len(text.encode()) <= MAX_BYTES:
                return text
        raise ValueError(f"the shortest message has {len(text.encode())} bytes, at most {MAX_BYTES} are kept")

    def _with_texts_of(self, length: int) -> "TerminationMessage":
        texts = {name: cut(text, length) for name in ("message", "remedy") if (text := getattr(self, name)) is not None}
        task = None if self.task is None else self.task.model_copy(update={"parameters": {}})
        return self.model_copy(update={**texts, "task": task})

    def _least(self) -> "TerminationMessage":
        return self._with_texts_of(64).model_copy(update={"task": None, "summary": None})


def cut(text: str, length: int) -> str:
    """The text, or its beginning and three dots."""
    return text if len(text) <= length else text[: length - 3] + "..."
