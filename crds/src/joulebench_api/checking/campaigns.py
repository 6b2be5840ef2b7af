"""The cells of a campaign: each must be a good run once its layers are merged, and none may be there twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pydantic import ValidationError

from joulebench_api.checking.reading import dig
from joulebench_api.merging import Cell, each_cell, written
from joulebench_api.problems import Path, Position, Problem, Severity, path_text, problem_at, texts
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.campaign import BenchmarkCampaign
from joulebench_api.yaml_tree import Document

MAX_CHECKED = 2_000
"""Cells of a campaign that are made; a campaign may have hundreds of thousands."""


@dataclass(frozen=True)
class _Fault:
    """What is wrong in the run of a cell. The same fault of several cells is told once."""

    path: Path
    message: str
    remedy: str | None


def check_cells(campaign: BenchmarkCampaign, document: Document) -> Iterator[Problem]:
    """Problems of a campaign that has none in itself."""
    found = _first_cells(campaign)
    if len(found) > MAX_CHECKED:
        message = f"of its cells only the first {MAX_CHECKED:,} were made and checked"
        yield problem_at(document.start, (), message, severity=Severity.NOTE)
    if not found:
        path: Path = ("spec", "exclude")
        yield problem_at(document.key_position(path), path, "leaves no cell to run", remedy="remove an entry")
    faults: dict[_Fault, list[Cell]] = {}
    first: dict[str, Cell] = {}
    for cell in found[:MAX_CHECKED]:
        for fault in _faults(cell):
            faults.setdefault(fault, []).append(cell)
        same = first.setdefault(cell.name, cell)
        if same is not cell:
            yield _twice(document, same, cell)
    for fault, of in faults.items():
        yield _problem(document, fault, of)


def _first_cells(campaign: BenchmarkCampaign) -> list[Cell]:
    spec = written(campaign.spec)
    rows = sum(max(1, len(model.get("variants", ()))) for model in spec["models"])
    if rows * len(spec["benchmarks"]) > MAX_CHECKED:
        # In this order both models and benchmarks change from cell to cell, so that the first ones tell most.
        spec = {**spec, "order": "Interleaved"}
    return list(islice(each_cell(campaign.metadata.name, spec), MAX_CHECKED + 1))


def _faults(cell: Cell) -> Iterator[_Fault]:
    try:
        BenchmarkRunSpec.model_validate(cell.spec, by_alias=True, by_name=False)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            message, remedy = texts(detail)
            yield _Fault(path=tuple(detail["loc"]), message=message, remedy=remedy)


def _problem(document: Document, fault: _Fault, of: Sequence[Cell]) -> Problem:
    position, path = _origin(document, of[0], fault.path)
    others = f" and {len(of) - 1} more" if len(of) > 1 else ""
    where = path_text(("spec", *fault.path))
    message = f"{fault.message} (in the run of {of[0]}{others}, whose {where} this becomes)"
    return problem_at(position, path, message, remedy=fault.remedy, value=dig(of[0].spec, fault.path))


def _origin(document: Document, cell: Cell, path: Path) -> tuple[Position, Path]:
    """The highest layer that says the field, or the nearest above it."""
    layers = [_entry(document, "include", cell.include), _entry(document, "benchmarks", cell.benchmark)]
    layers += [_entry(document, "models", cell.model), ("spec", "defaults")]
    for end in range(len(path), 0, -1):
        for layer in layers:
            full = (*layer, *path[:end])
            if layer and full in document.values:
                return document.value_position(full), full
    return document.value_position(("spec",)), ("spec",)


def _entry(document: Document, field: str, name: str | None) -> Path:
    entries = dig(document.data, ("spec", field)) or []
    return next((("spec", field, index) for index, entry in enumerate(entries) if entry.get("name") == name), ())


def _twice(document: Document, first: Cell, second: Cell) -> Problem:
    field, name = ("include", second.include) if second.include else ("models", second.model)
    path = _entry(document, field, name)
    message = f"the cell {second} is the same run as the cell {first}"
    return problem_at(
        document.value_position(path), path, message, remedy="let them differ, such as by seed, or keep one"
    )
