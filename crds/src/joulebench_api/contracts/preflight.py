"""What preflight found: written as the termination message of its container, read by the operator and by local runs."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from joulebench_api.conditions import PREFLIGHT_REASONS, Reason
from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.termination import MAX_BYTES, cut

MAX_FINDINGS: Final = 8
"""More are counted, not told: the first mended field usually mends others."""


class Finding(BaseModel):
    """One thing that is not good."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    field: str
    """Path in the run, such as `spec.task.name`."""
    value: JsonValue = None
    reason: Reason
    message: str
    remedy: str | None = None

    @field_validator("reason")
    @classmethod
    def _is_preflight_s_own(cls, reason: Reason) -> Reason:
        if reason not in PREFLIGHT_REASONS:
            raise ValueError(f"{reason} is not found by preflight")
        return reason


class PreflightReport(BaseModel):
    """Everything that preflight found. It passed when there are no findings."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = SCHEMA_VERSION
    runner_version: str
    findings: list[Finding] = Field(default_factory=list)
    more_findings: int = 0
    """How many were left out for want of room."""
    task: ResolvedTask | None = None
    """The task as it will be asked; None where it could not be read."""

    @property
    def passed(self) -> bool:
        """Whether everything that was looked at is good."""
        return not self.findings

    def as_message(self) -> str:
        """The report as a termination message of at most MAX_BYTES: texts are cut first, then findings left out."""
        # A task's parameters may be of any size; the operator can do without them.
        task = None if self.task is None else self.task.model_copy(update={"parameters": {}})
        for kept, length in ((MAX_FINDINGS, 1024), (MAX_FINDINGS, 256), (MAX_FINDINGS, 64), (1, 64)):
            findings = [_shortened(finding, length) for finding in self.findings[:kept]]
            more = self.more_findings + len(self.findings) - len(findings)
            text = self.model_copy(update={"findings": findings, "more_findings": more, "task": task}).model_dump_json(
                exclude_none=True
            )
            if len(text.encode()) <= MAX_BYTES:
                return text
        raise ValueError(f"the shortest report has {len(text.encode())} bytes, at most {MAX_BYTES} are kept")


def _shortened(finding: Finding, length: int) -> Finding:
    value = cut(finding.value, length) if isinstance(finding.value, str) else finding.value
    plain = value is None or isinstance(value, str | int | float | bool)
    return finding.model_copy(
        update={
            "field": cut(finding.field, 128),
            "value": value if plain else None,
            "message": cut(finding.message, length),
            "remedy": None if finding.remedy is None else cut(finding.remedy, length),
        }
    )
