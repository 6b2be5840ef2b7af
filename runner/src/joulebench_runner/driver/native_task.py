"""Tasks of our own registry: load, select, and make an inspect-ai task of what is selected."""

from typing import TYPE_CHECKING

from joulebench_runner.config import DriverSettings
from joulebench_runner.driver.generation import merged
from joulebench_runner.driver.loaded import LoadedTask
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.records import Dataset, Grader, LoadRequest, ProbeServer, Record
from joulebench_runner.tasks.selection import select

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import Scorer


async def load_native(entry: TaskEntry, settings: DriverSettings, *, probe: ProbeServer | None) -> LoadedTask:
    """The selected questions of a task. Raises BadInputError."""
    dataset = await entry.load(
        LoadRequest(
            settings=settings.task,
            parameters=entry.check(settings.task),
            seed=settings.seed,
            warmup_queries=settings.warmup_queries,
            probe=probe,
        )
    )
    records = {record.record_id: record for record in dataset.records}
    selected = select(
        list(records),
        seed=settings.seed,
        limit=settings.task.limit,
        wanted=settings.task.record_ids,
        ordered=entry.ordered,
    )
    task_options = {**entry.generation, "extra_body": dict(dataset.extra_body)}
    if dataset.max_tokens is not None:
        task_options["max_tokens"] = dataset.max_tokens
    return LoadedTask(
        name=entry.key,
        revision=dataset.revision,
        record_ids=tuple(selected),
        scored=entry.scored,
        parameters=dataset.parameters,
        options=merged(settings.generation, task=task_options),
        warmup_prompts=dataset.warmup_prompts,
        gated=entry.gated,
        canary=entry.canary,
        build=lambda: _task(entry, dataset, [records[record_id] for record_id in selected]),
    )


def _task(entry: TaskEntry, dataset: Dataset, records: list[Record]) -> "Task":
    from inspect_ai import Task  # noqa: PLC0415  # costs seconds; imported in the background beforehand
    from inspect_ai.dataset import MemoryDataset  # noqa: PLC0415
    from inspect_ai.solver import generate  # noqa: PLC0415

    return Task(
        name=entry.key,
        version=dataset.revision,
        dataset=MemoryDataset([_sample(record) for record in records], name=entry.key),
        solver=generate(),
        scorer=None if entry.grade is None else _scorer(entry.key, entry.grade),
    )


def _sample(record: Record) -> "Sample":
    from inspect_ai.dataset import Sample  # noqa: PLC0415

    metadata = dict(record.metadata) | ({} if record.subject is None else {"subject": record.subject})
    return Sample(id=record.record_id, input=record.prompt, target=record.reference or "", metadata=metadata)


def _scorer(name: str, grade: Grader) -> "Scorer":
    from inspect_ai.scorer import CORRECT, INCORRECT, Score, Target, accuracy, scorer  # noqa: PLC0415
    from inspect_ai.solver import TaskState  # noqa: PLC0415

    @scorer(metrics=[accuracy()], name=name)
    def graded() -> "Scorer":
        async def score(state: TaskState, target: Target) -> Score:
            verdict = grade(state.output.completion, target.text, state.metadata)
            if verdict.verdict == "unscored":
                truncated = any(choice.stop_reason == "max_tokens" for choice in state.output.choices)
                cut_off = " (cut off at max_tokens)" if truncated else ""
                return Score.unscored(reason=f"{verdict.reason}{cut_off}", explanation=verdict.explanation)
            return Score(
                value=CORRECT if verdict.verdict == "right" else INCORRECT,
                answer=verdict.answer,
                explanation=verdict.explanation,
            )

        return score

    return graded()
