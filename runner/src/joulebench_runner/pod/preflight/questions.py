"""Whether the task is there, takes what it is given, and has questions: from the source that the run itself uses."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from joulebench_api.conditions import Reason
from joulebench_api.contracts.assignment import HUB_TOKEN_VARIABLE, Assignment
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_runner.config import DriverSettings
from joulebench_runner.driver.loaded import LoadedTask
from joulebench_runner.driver.native_task import load_native
from joulebench_runner.errors import BadInputError, RunnerError
from joulebench_runner.fetch import fetch_into_root
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.preflight.problems import Problem, field_of, problem_of
from joulebench_runner.pod.settings import driver_settings, task_settings
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.fetch import HubAwayError
from joulebench_runner.tasks.registry import InspectTask, find

PAUSES_SECONDS: Final = (1.0, 3.0)
"""Before each further look at a hub that does not answer."""


class Questions:
    """The look at a run's questions. `task` is what will be asked, once `check` has found it good."""

    def __init__(
        self,
        assignment: Assignment,
        places: Places,
        *,
        environ: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.task: ResolvedTask | None = None
        self._assignment = assignment
        self._places = places
        self._environ = environ
        self._sleep = sleep

    def check(self) -> Iterator[Problem]:
        """Everything that is wrong with them."""
        try:
            found = find(self._assignment.run.spec.task.name)
        except BadInputError as error:
            yield self._problem(error, Reason.UNKNOWN_TASK)
            return
        if isinstance(found, InspectTask):
            yield from self._check_inspect(found)
        else:
            yield from self._check_native(found)

    def _check_native(self, task: TaskEntry) -> Iterator[Problem]:
        settings = driver_settings(self._assignment, self._places)
        problems = [self._problem(error, Reason.INVALID_PARAMETERS) for error in task.problems(settings.task)]
        problems += self._missing_token()
        yield from problems
        # A task that asks the model for its prompts' lengths cannot be loaded before there is one.
        if problems or task.needs_server or not self._is_source_known():
            return
        with self._data_root() as root:
            there = settings.task.model_copy(update={"data_root": root})
            yield from self._load(task, settings.model_copy(update={"task": there}))

    def _load(self, task: TaskEntry, settings: DriverSettings) -> Iterator[Problem]:
        try:
            if task.hub is not None and not self._assignment.data_mounted:
                self._fetch(settings)
            self.task = asyncio.run(load_native(task, settings, probe=None)).resolved(epochs=settings.epochs)
        except HubAwayError as error:
            yield self._problem(error, Reason.DATASET_UNAVAILABLE, passing=True)
        except RunnerError as error:
            chosen = field_of(error) == "spec.task.recordIds"
            yield self._problem(error, Reason.INVALID_PARAMETERS if chosen else Reason.DATASET_UNAVAILABLE)

    def _fetch(self, settings: DriverSettings) -> None:
        """As the init container does, with some patience."""
        wanted = task_settings(self._assignment, self._places).model_copy(update={"data_root": settings.task.data_root})
        for pause in PAUSES_SECONDS:
            try:
                fetch_into_root(wanted)
            except HubAwayError:
                self._sleep(pause)
            else:
                return
        fetch_into_root(wanted)

    def _check_inspect(self, task: InspectTask) -> Iterator[Problem]:
        from joulebench_runner.driver.inspect_task import TaskNotMadeError, load_inspect  # noqa: PLC0415 - seconds

        settings = driver_settings(self._assignment, self._places)
        try:
            loaded = load_inspect(task, settings)
        except TaskNotMadeError as error:
            yield self._problem(error, Reason.DATASET_UNAVAILABLE)
        except BadInputError as error:
            yield self._problem(error, _reason_by_field(error))
        else:
            self.task = loaded.resolved(epochs=settings.epochs)
            yield from _check_sandbox(loaded)

    def _missing_token(self) -> list[Problem]:
        source = self._assignment.run.spec.task.source
        token = None if source is None or source.hub is None else source.hub.token_secret_ref
        if token is None or self._environ.get(HUB_TOKEN_VARIABLE):
            return []
        return [
            Problem(
                field="spec.task.source.hub.tokenSecretRef",
                value=token.name,
                reason=Reason.SECRET_UNAVAILABLE,
                message=f"the Secret {token.name!r} has nothing in its key {token.key!r}",
                remedy=f"put the hub's token into the key {token.key!r}, in the run's namespace",
            )
        ]

    def _is_source_known(self) -> bool:
        source = self._assignment.run.spec.task.source
        return self._assignment.data_mounted or source is None or source.hub is not None

    @contextmanager
    def _data_root(self) -> Iterator[Path]:
        """Where the questions are, or are brought for this look."""
        folder = self._places.data
        if self._assignment.data_mounted or os.access(folder, os.W_OK):
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="joulebench-") as made:
            yield Path(made)

    def _problem(self, error: RunnerError, reason: Reason, *, passing: bool = False) -> Problem:
        run = self._assignment.run
        field = "spec.task.name" if run.spec.task.source is None else "spec.task.source"
        return problem_of(error, reason=reason, field=field, run=run, passing=passing)


def _check_sandbox(loaded: LoadedTask) -> Iterator[Problem]:
    """A pod has no sandbox for a task that brings its own."""
    task = loaded.build()
    samples = (sample.sandbox for sample in task.dataset)
    needed = next((sandbox for sandbox in (task.sandbox, *samples) if sandbox is not None), None)
    if needed is not None:
        yield Problem(
            field="spec.task.name",
            value=loaded.name,
            reason=Reason.SANDBOX_UNAVAILABLE,
            message=f"the task runs code in a sandbox of type {needed.type!r}, which is not available",
            remedy="choose a task that needs no sandbox",
        )


def _reason_by_field(error: BadInputError) -> Reason:
    """Of an inspect-ai task: its package is looked into, its parameters and records are."""
    match field_of(error):
        case "spec.task.name":
            return Reason.UNKNOWN_TASK
        case None:
            return Reason.DATASET_UNAVAILABLE
        case _:
            return Reason.INVALID_PARAMETERS
