"""The right answers to a task's questions, for a simulator that is to know them."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson

from joulebench_api.loading import Loaded, server_spec
from joulebench_api.v1alpha1 import BenchmarkRunSpec, External
from joulebench_api.v1alpha1.engine import Engine
from joulebench_runner.local.settings import task_settings
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.records import LoadRequest, Record
from joulebench_runner.tasks.registry import find

SENTENCE: Final = "The answer is {reference}."
"""All of our graders read the answer out of it."""


def simulator_answers(loaded: Loaded, spec: BenchmarkRunSpec, *, data: Path | None) -> bytes | None:
    """A file of answers as the simulator reads it. None where none is needed, or none can be known.

    Of sets on a hub the answers are known only if their data lie in a folder: planning never uses the network.
    """
    task = find(spec.task.name)
    if not _is_simulated(loaded, spec) or not isinstance(task, TaskEntry):
        return None
    if not task.scored or task.needs_server or (task.hub is not None and data is None):
        return None
    settings = task_settings(spec, data=data)
    request = LoadRequest(settings=settings, parameters=task.check(settings), seed=spec.seed)
    return _lines(asyncio.run(_records(task, request)))


async def _records(task: TaskEntry, request: LoadRequest) -> Iterable[Record]:
    return (await task.load(request)).records


def _is_simulated(loaded: Loaded, spec: BenchmarkRunSpec) -> bool:
    found = server_spec(loaded, spec.server)
    return not isinstance(found, External) and found.engine is Engine.SIMULATOR  # no preset is simulated


def _lines(records: Iterable[Record]) -> bytes:
    entries = (
        {"prompt": record.prompt, "answer": SENTENCE.format(reference=record.reference)}
        for record in records
        if record.reference is not None
    )
    return b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in entries)
