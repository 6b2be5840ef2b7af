"""The page's list of what a run was made of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from joulebench_runner.errors import BadInputError
from joulebench_runner.report.view import flat
from joulebench_runner.results.folder import RunFolder

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Group:
    """Facts under a heading."""

    name: str
    facts: Facts


def groups(run: RunFolder) -> list[Group]:
    """Model, task, seeds, machine, energy, versions: those of which something is known."""
    known, summary = run.provenance, run.summary
    task = {} if summary.task is None else summary.task.model_dump(mode="json", exclude_defaults=True)
    found = [
        Group("Model", [*flat(summary.model.model_dump(mode="json")), *_prefixed(known, "file", "model_files")]),
        Group("Server", [*_prefixed(known, "", "planned", "servers")]),
        Group("Task", [*flat(task)]),
        Group("Seeds", [*_seeds(run)]),
        Group("Machine", [*_prefixed(known, "", "planned", "machine"), *_fact("platform", known.get("platform"))]),
        Group("Energy", [*_energy(known)]),
        Group("Versions", [*flat(_at(known, "versions"))]),
    ]
    return [group for group in found if group.facts]


def _prefixed(known: Mapping[str, JsonValue], prefix: str, *path: str) -> Iterator[tuple[str, str]]:
    yield from flat(_at(dict(known), *path), prefix)


def _fact(name: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    yield from flat(value, name)


def _at(value: JsonValue | Mapping[str, JsonValue], *path: str) -> JsonValue:
    found: JsonValue = dict(value) if isinstance(value, Mapping) else value
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _seeds(run: RunFolder) -> Iterator[tuple[str, str]]:
    try:
        settings = run.driver_settings
    except BadInputError:
        # Folders from elsewhere may come without the settings; the plan still says what was given.
        yield from flat(_at(run.provenance, "planned", "spec", "seed"), "order of questions")
        return
    yield "order of questions", str(settings.seed)
    yield from flat(settings.generation.seed, "generation")


def _energy(known: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    yield from flat(_at(known, "energy"))
