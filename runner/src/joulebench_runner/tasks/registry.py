"""The tasks that joulebench knows by a short name, and how `inspect:package/task` names are read.

Nothing here imports inspect-ai, so listing and validating are fast.
"""

import difflib
import importlib.util
from dataclasses import dataclass
from typing import Final

from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks import everyday, fixed_length, gsm8k
from joulebench_runner.tasks.entry import Parameter, TaskEntry

INSPECT_PREFIX: Final = "inspect:"

_ENTRIES: Final = (
    TaskEntry(
        key="everyday",
        title="Everyday questions",
        description=(
            "Short reading, counting and arithmetic questions with exact answers, made by a seeded generator in five "
            "levels."
        ),
        licence="Apache-2.0",
        scored=True,
        load=everyday.load,
        grade=everyday.grade,
        grade_reads=("form",),
        parameters=(
            Parameter(
                name="level",
                kind="integer or list of integers",
                description="Difficulty: one level, or a list of levels that take turns.",
                default=list(everyday.DEFAULT_LEVELS),
                maximum=5,
            ),
        ),
        ordered=True,
        generation={"temperature": 0.0, "max_tokens": everyday.MAX_TOKENS},
    ),
    TaskEntry(
        key="fixed_length",
        title="Fixed lengths",
        description="Synthetic prompts and answers of exact token lengths, for measuring; not scored.",
        licence="Apache-2.0",
        scored=False,
        load=fixed_length.load,
        grade=None,
        parameters=(
            Parameter(
                name="inputTokens",
                kind="integer",
                description="Tokens of each prompt, the model's chat template included.",
                default=128,
            ),
            Parameter(
                name="outputTokens",
                kind="integer",
                description="Tokens of each answer; servers that know ignore_eos do not stop before.",
                default=64,
            ),
            Parameter(
                name="records",
                kind="integer",
                description=f"Number of prompts; absent: task.limit, else {fixed_length.DEFAULT_LIMIT}.",
                default=None,
            ),
        ),
        ordered=True,
        needs_server=True,
        generation={"temperature": 0.0},
    ),
    TaskEntry(
        key="gsm8k",
        title="GSM8K",
        description="Grade-school mathematics word problems; the final number is compared.",
        licence="MIT",
        scored=True,
        load=gsm8k.load,
        grade=gsm8k.grade,
        hub=gsm8k.HUB,
        records=1319,
        columns=tuple(gsm8k.COLUMNS),
        takes_splits=True,
        generation={"temperature": 0.0, "max_tokens": gsm8k.MAX_TOKENS},
    ),
)

REGISTRY: Final = {entry.key: entry for entry in _ENTRIES}


@dataclass(frozen=True, kw_only=True)
class InspectTask:
    """A task of an installed inspect-ai package."""

    package: str
    task: str

    @property
    def name(self) -> str:
        """The name as written in a benchmark."""
        return f"{INSPECT_PREFIX}{self.package}/{self.task}"


def find(name: str) -> TaskEntry | InspectTask:
    """The task of that name. Raises BadInputError with the nearest name.

    Of an `inspect:` name only the package is looked for; whether it has the task is known when it is imported.
    """
    if name.startswith(INSPECT_PREFIX):
        return _inspect_task(name)
    if name in REGISTRY:
        return REGISTRY[name]
    near = difflib.get_close_matches(name, REGISTRY, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise BadInputError(
        f"task.name: there is no task {name!r}",
        remedy=f"{hint}Known: {', '.join(sorted(REGISTRY))}, and inspect:package/task for installed inspect-ai tasks.",
    )


def _inspect_task(name: str) -> InspectTask:
    package, slash, task = name.removeprefix(INSPECT_PREFIX).partition("/")
    if not (package.isidentifier() and slash and task):
        raise BadInputError(
            f"task.name: {name!r} is not of the form inspect:package/task",
            remedy="For example inspect:inspect_evals/gsm8k.",
        )
    if importlib.util.find_spec(package) is None:
        raise BadInputError(
            f"task.name: the Python package {package!r} of {name!r} is not installed",
            remedy=f"Install it into joulebench's environment, or build an image that has it: pip install {package}",
        )
    return InspectTask(package=package, task=task)
