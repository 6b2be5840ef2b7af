"""What the registry knows about a task before anything is loaded."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.data import HubSource
from joulebench_runner.tasks.records import Grader, Loader


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a task (`task.params`)."""

    name: str
    kind: Literal["integer", "integer or list of integers"]
    description: str
    default: JsonValue
    """None: computed."""
    minimum: int = 1
    maximum: int | None = None

    def accepts(self, value: JsonValue) -> bool:
        """Whether a value has the right type and lies in the range."""
        if isinstance(value, list) and self.kind == "integer or list of integers":
            return bool(value) and all(self._in_range(item) for item in value)
        return self._in_range(value)

    def _in_range(self, value: JsonValue) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return value >= self.minimum and (self.maximum is None or value <= self.maximum)

    @property
    def range_text(self) -> str:
        """The range in words."""
        return f"at least {self.minimum}" if self.maximum is None else f"{self.minimum} to {self.maximum}"


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """One task: its data sheet, how its questions are loaded, and how answers are graded."""

    key: str
    title: str
    description: str
    licence: str
    scored: bool
    load: Loader
    grade: Grader | None
    grade_reads: tuple[str, ...] = ()
    """Fields of a record's metadata without which `grade` cannot read an answer."""
    hub: HubSource | None = None
    records: int | None = None
    """Questions of the source's own split; None: as many as are asked for."""
    columns: tuple[str, ...] = ()
    """Fields of the source's rows that the loader reads."""
    parameters: tuple[Parameter, ...] = ()
    takes_splits: bool = False
    """Whether `task.split` and `task.subset` mean something."""
    ordered: bool = False
    """Whether the loader draws the records by the seed, in the order in which they are asked."""
    needs_server: bool = False
    """Whether loading asks the served model."""
    gated: bool = False
    """Whether its owners let nobody publish its questions and answers."""
    canary: str | None = None
    """The string by which its authors ask that it be kept out of training data; its texts are not published."""
    generation: Mapping[str, JsonValue] = field(default_factory=dict)
    """The task's own generation options (fields of GenerationSettings); the run's go before."""

    def check(self, settings: TaskSettings) -> dict[str, JsonValue]:
        """The parameters with defaults filled in. Raises BadInputError for whatever this task does not take."""
        for problem in self.problems(settings):
            raise problem
        return {parameter.name: settings.params.get(parameter.name, parameter.default) for parameter in self.parameters}

    def problems(self, settings: TaskSettings) -> Iterator[BadInputError]:
        """Everything that this task does not take; each message begins with the field."""
        yield from self._unused(settings)
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in settings.params.items():
            if name not in known:
                yield self._unknown_parameter(name, known)
            elif not known[name].accepts(value):
                yield self._bad_parameter(known[name], value)

    def _unused(self, settings: TaskSettings) -> Iterator[BadInputError]:
        unused = {"fewShot": settings.few_shot}
        if not self.takes_splits:
            unused |= {"split": settings.split, "subset": settings.subset}  # type: ignore[dict-item]  # int and str alike
        for name, value in unused.items():
            if value is not None:
                yield BadInputError(
                    f"task.{name} is {value!r}, but {self.key} has none", remedy=f"Leave task.{name} out."
                )

    def _unknown_parameter(self, name: str, known: Iterable[str]) -> BadInputError:
        return BadInputError(
            f"task.params.{name}: {self.key} has no such parameter",
            remedy=f"{_did_you_mean(name, known)}It has: {', '.join(known) or 'none'}.",
        )

    def _bad_parameter(self, parameter: Parameter, value: JsonValue) -> BadInputError:
        return BadInputError(
            f"task.params.{parameter.name} is {value!r}; {self.key} wants {parameter.kind}, {parameter.range_text}",
            remedy=parameter.description,
        )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}? " if near else ""
