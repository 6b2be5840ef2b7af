"""Tasks of installed inspect-ai packages (`inspect:package/task`). Imports inspect-ai."""

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from types import ModuleType
from typing import Any

from inspect_ai import Task, task_with
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.util import registry_info

from joulebench_runner.config import DriverSettings, TaskSettings
from joulebench_runner.driver.generation import merged
from joulebench_runner.driver.loaded import LoadedTask
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.records import content_id
from joulebench_runner.tasks.registry import InspectTask
from joulebench_runner.tasks.selection import select
from joulebench_runner.tasks.synthetic import synthetic_prompts


class TaskNotMadeError(BadInputError):
    """The task's own code failed, mostly for want of its data."""


def load_inspect(name: InspectTask, settings: DriverSettings) -> LoadedTask:
    """The selected questions of an inspect-ai task. Raises BadInputError."""
    task = _made(_factory(name), name, settings.task)
    samples = _identified(_samples(task, name))
    records = {str(sample.id): sample for sample in samples}
    selected = select(list(records), seed=settings.seed, limit=settings.task.limit, wanted=settings.task.record_ids)
    chosen = MemoryDataset([records[record_id] for record_id in selected], name=name.task)
    return LoadedTask(
        name=name.name,
        revision=_revision(name.package, samples),
        record_ids=tuple(selected),
        scored=bool(task.scorer),
        parameters=dict(settings.task.params),
        options=merged(settings.generation, task={}),
        warmup_prompts=synthetic_prompts(
            count=settings.warmup_queries,
            characters=int(median(len(_text(sample)) for sample in samples)),
            seed=settings.seed,
        ),
        canary=_canary(samples),
        build=lambda: task_with(task, dataset=chosen),
    )


def _factory(name: InspectTask) -> Callable[..., Task]:
    """The registered function that makes the task."""
    known: dict[str, Callable[..., Task]] = {}
    # The package itself, the module of the task's name, and the module that packages list their tasks in.
    for module_name in (name.package, f"{name.package}.{name.task}", f"{name.package}._registry"):
        module = _imported(module_name, name)
        known |= {} if module is None else dict(_registered_tasks(module))
        if name.task in known:
            return known[name.task]
    near = difflib.get_close_matches(name.task, known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise BadInputError(
        f"task.name: the package {name.package!r} registers no inspect-ai task {name.task!r}",
        remedy=f"{hint}It has: {', '.join(sorted(known)) or 'none'}.",
    )


def _imported(module_name: str, name: InspectTask) -> ModuleType | None:
    try:
        if importlib.util.find_spec(module_name) is None:
            return None
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            return None
        raise _not_importable(module_name, name, error) from error
    except ImportError as error:
        raise _not_importable(module_name, name, error) from error


def _not_importable(module_name: str, name: InspectTask, error: ImportError) -> BadInputError:
    return BadInputError(
        f"task.name: {module_name!r} of {name.name!r} cannot be imported: {error}",
        remedy="Install what it needs into joulebench's environment.",
    )


def _registered_tasks(module: ModuleType) -> Iterator[tuple[str, Callable[..., Task]]]:
    for value in vars(module).values():
        if inspect.isfunction(value) and hasattr(value, "__registry_info__"):
            info = registry_info(value)
            if info.type == "task":
                yield info.name.rpartition("/")[2], value


def _made(factory: Callable[..., Task], name: InspectTask, settings: TaskSettings) -> Task:
    for field, value in {"fewShot": settings.few_shot, "split": settings.split, "subset": settings.subset}.items():
        if value is not None:
            raise BadInputError(
                f"task.{field} is {value!r}, but {name.name} is made from task.params alone",
                remedy="Put it into task.params under the name that the task has for it.",
            )
    accepted = inspect.signature(factory).parameters
    for parameter in settings.params:
        if parameter not in accepted:
            raise BadInputError(
                f"task.params.{parameter}: {name.name} has no such parameter",
                remedy=f"It has: {', '.join(accepted) or 'none'}.",
            )
    try:
        return factory(**settings.params)
    # Data sets load here, and they raise what their libraries raise: all of it means that the task cannot be made.
    except Exception as error:
        raise TaskNotMadeError(
            f"task.name: {name.name} could not be made: {type(error).__name__}: {error}",
            remedy="If its data set is not in the cache, load the task once where there is a network.",
        ) from error


def _canary(samples: list[Sample]) -> str | None:
    """The canary string that a data set carries in its rows."""
    found = (value for sample in samples for key, value in (sample.metadata or {}).items() if "canary" in key.lower())
    return next((value for value in found if isinstance(value, str) and value), None)


def _samples(task: Task, name: InspectTask) -> list[Sample]:
    dataset: Any = task.dataset
    if not isinstance(dataset, Iterable):
        raise BadInputError(
            f"task.name: {name.name} makes its samples while it runs, so they cannot be planned",
            remedy="Choose a task with a fixed data set.",
        )
    return list(dataset)


def _identified(samples: list[Sample]) -> list[Sample]:
    """The samples with unique text ids: their own, else a hash of question and answer; never the position."""
    ids = [str(sample.id) if _has_own_id(sample, samples) else _hash(sample) for sample in samples]
    repeated = Counter[str]()
    for sample, sample_id in zip(samples, ids, strict=True):
        repeated[sample_id] += 1
        sample.id = sample_id if repeated[sample_id] == 1 else f"{sample_id}-{repeated[sample_id]}"
    return samples


def _has_own_id(sample: Sample, samples: list[Sample]) -> bool:
    """Whether a sample has an id that is more than inspect-ai's running number."""
    if isinstance(sample.id, int):
        return not 1 <= sample.id <= len(samples)
    return sample.id is not None


def _hash(sample: Sample) -> str:
    return content_id(_text(sample), str(sample.target), *map(str, sample.choices or []))


def _text(sample: Sample) -> str:
    return sample.input if isinstance(sample.input, str) else "\n".join(message.text for message in sample.input)


def _revision(package: str, samples: list[Sample]) -> str:
    """The package's version (prompts and scorer) and a hash of all questions and answers."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = "unversioned"
    digest = hashlib.sha256("\n".join(sorted(_hash(sample) for sample in samples)).encode()).hexdigest()
    return f"{package} {version} sha256:{digest}"
