"""The whole of preflight: everything is looked at, and everything that was found is told."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joulebench_api.conditions import Reason
from joulebench_api.contracts.assignment import Assignment
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.preflight import Finding, PreflightReport
from joulebench_runner import __version__
from joulebench_runner.errors import ExitCode
from joulebench_runner.pod.assignment import IncompatibleError
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.preflight.problems import Problem
from joulebench_runner.pod.preflight.questions import Questions
from joulebench_runner.pod.preflight.servers import check_endpoints, check_keys
from joulebench_runner.pod.preflight.shards import check_shards
from joulebench_runner.pod.preflight.store import check_store
from joulebench_runner.pod.preflight.support import check_support


@dataclass(frozen=True)
class Found:
    """All that was found, and the task as it will be asked."""

    problems: Sequence[Problem]
    task: ResolvedTask | None = None

    @property
    def exit_code(self) -> ExitCode:
        """Bad input if anything is wrong for sure; else, whether to look again."""
        if not self.problems:
            return ExitCode.DONE
        passing = all(problem.passing for problem in self.problems)
        return ExitCode.INFRASTRUCTURE if passing else ExitCode.BAD_INPUT

    def report(self) -> PreflightReport:
        """For the operator."""
        findings = [
            Finding(
                field=problem.field,
                value=problem.value,
                reason=problem.reason,
                message=problem.message,
                remedy=problem.remedy,
            )
            for problem in self.problems
        ]
        return PreflightReport(runner_version=__version__, findings=findings, task=self.task)


def look(assignment: Assignment, places: Places, *, environ: Mapping[str, str]) -> Found:
    """Look at everything."""
    questions = Questions(assignment, places, environ=environ)
    problems = [
        *check_support(assignment),
        *questions.check(),
        *check_shards(assignment.run.spec, questions.task),
        *check_keys(assignment, environ=environ),
        *asyncio.run(check_endpoints(assignment, environ=environ)),
        *check_store(assignment, places, environ=environ),
    ]
    return Found(problems, questions.task)


def incompatible(error: IncompatibleError) -> Found:
    """What is found if the assignment cannot be understood."""
    reason = Reason.RUNNER_INCOMPATIBLE
    return Found([Problem(field=error.field, reason=reason, message=error.what, remedy=error.remedy)])


def in_words(found: Found) -> str:
    """For people who read the log."""
    lines = [line for problem in found.problems for line in _lines(problem)]
    task = found.task
    if task is not None:
        asked = f"{task.records} records" + (f", {task.epochs} times each" if task.epochs > 1 else "")
        lines.append(f"task: {task.name} at {task.revision}: {asked}")
    if not found.problems:
        lines.append("preflight: everything that was looked at is good")
    return "\n".join(lines)


def _lines(problem: Problem) -> list[str]:
    again = " (a later look may go better)" if problem.passing else ""
    told = [f"{problem.reason}: {problem.field}: {problem.message}{again}"]
    return told if problem.remedy is None else [*told, f"  {problem.remedy}"]
