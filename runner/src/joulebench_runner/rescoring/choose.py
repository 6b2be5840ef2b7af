"""Which scorer judges a run's answers again, and the change that it makes."""

from collections.abc import Sequence
from dataclasses import replace

from joulebench_runner.errors import BadInputError
from joulebench_runner.rescoring.native import Metadata, native_verdicts
from joulebench_runner.results.build import resolved_task
from joulebench_runner.results.folder import RunFolder
from joulebench_runner.results.redo import Change
from joulebench_runner.results.verdicts import Answer, NewVerdict, answers, changed, with_verdicts
from joulebench_runner.tasks.registry import INSPECT_PREFIX, REGISTRY

# inspect-ai costs seconds to import, and a rule of ours often does without.


def rescored(run: RunFolder, *, scorer: str | None) -> Change:
    """Judge the run's answers again, by its task's own scorer or by another. BadInputError where that cannot be."""
    journal = run.journal()
    task = resolved_task(journal)
    if task is None:
        raise BadInputError(f"{run.path} asked nothing, so there is nothing to score", remedy="Name another run.")
    if not task.scored:
        raise BadInputError(
            f"the task {task.name} of {run.path} is not scored: its answers are neither right nor wrong",
            remedy="Only runs of scored tasks can be scored again.",
        )
    given = list(answers(journal))
    name, verdicts = _verdicts(run, task.name, scorer, given)
    after = with_verdicts(journal, verdicts, scorer=name)
    different = changed(journal, after)
    return Change(
        what="scores",
        label=f"scored-by-{name.replace('/', '-')}",
        given={"scorer": name, "answers": len(given), "changed": different},
        journal=lambda before: replace(before, tables=after.tables),
    )


def _verdicts(
    run: RunFolder, task: str, scorer: str | None, given: Sequence[Answer]
) -> tuple[str, dict[int, NewVerdict]]:
    wanted = scorer or task
    if wanted in REGISTRY:
        entry = REGISTRY[wanted]
        return entry.key, native_verdicts(entry, given, metadata=lambda: _metadata(run))
    from joulebench_runner.rescoring.by_inspect import inspect_verdicts  # noqa: PLC0415 - see above

    package = task.removeprefix(INSPECT_PREFIX).partition("/")[0] if task.startswith(INSPECT_PREFIX) else None
    return inspect_verdicts(run.path, given, package=package, scorer=scorer)


def _metadata(run: RunFolder) -> Metadata:
    from joulebench_runner.rescoring.logs import metadata  # noqa: PLC0415 - see above

    return metadata(run.path)
