"""From how a run ended to its exit code."""

from typing import TYPE_CHECKING, Final, Literal

from joulebench_runner.config import EnergySettings
from joulebench_runner.errors import ExitCode

if TYPE_CHECKING:  # its many models take time to build, which a process's start has not
    from joulebench_api.contracts.summary import Summary

Outcome = Literal["completed", "failed", "error-limit", "interrupted"]

EXIT_CODES: Final[dict[Outcome, ExitCode]] = {
    "completed": ExitCode.DONE,
    "failed": ExitCode.FAILED,
    "error-limit": ExitCode.REQUIREMENT_NOT_MET,
    "interrupted": ExitCode.INTERRUPTED,
}


def verdict(outcome: Outcome, *, energy: EnergySettings, summary: "Summary") -> ExitCode:
    """The exit code: that of the outcome, unless a completed run lacks the energy or the copy that was required."""
    code = EXIT_CODES[outcome]
    lacks_copy = summary.stored is not None and summary.stored.problem is not None
    lacks_something = lacks_energy(energy, summary) or lacks_copy
    return ExitCode.REQUIREMENT_NOT_MET if code is ExitCode.DONE and lacks_something else code


def lacks_energy(energy: EnergySettings, summary: "Summary") -> bool:
    """Whether less was measured than policy Required allows."""
    return energy.policy == "Required" and not _is_measured(energy, summary)


def _is_measured(energy: EnergySettings, summary: "Summary") -> bool:
    coverage = summary.energy.coverage_percent
    # An answer's joules are not all known while those of a submodel are not.
    helped_unseen = any(use.role == "submodel" and use.calls and use.energy_joules is None for use in summary.models)
    is_covered = coverage is not None and coverage >= energy.min_coverage_percent
    return summary.energy.total_joules is not None and is_covered and not helped_unseen
