"""A campaign -> its cells: (models x variants) x benchmarks, without what is excluded, with what is included."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joulebench_api.merging.identity import cell_hash
from joulebench_api.merging.layers import Written, merge, merge_all
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.model_server import ModelServerSpec

_NOT_OVERLAY = frozenset({"name", "variants", "model", "benchmark", "taskLimit"})


@dataclass(frozen=True)
class Cell:
    """One benchmark of one model; it becomes one BenchmarkRun a round."""

    name: str
    """`<campaign>-<hash>`: the same as long as what was written of it is the same."""
    model: str
    variant: str | None
    benchmark: str
    include: str | None
    """The entry of `include` that it comes from."""
    spec: Written
    """The run's spec as far as it was written, all layers merged; not checked."""

    def __str__(self) -> str:
        model = self.model if self.variant is None else f"{self.model}/{self.variant}"
        return f"{model} x {self.benchmark}" + (f" ({self.include})" if self.include else "")


@dataclass(frozen=True)
class _Server:
    """A model's entry with one of its variants."""

    model: str
    variant: str | None
    layer: Written


def cells(campaign: str, spec: Written) -> list[Cell]:
    """All cells of a campaign in the order in which they are to run; see `each_cell`."""
    return list(each_cell(campaign, spec))


def each_cell(campaign: str, spec: Written) -> Iterator[Cell]:
    """The cells one by one, since there may be very many; `spec` is the campaign's, as it was written.

    `exclude` takes cells out of the product of models and benchmarks; `include` adds cells after that. An entry of
    `exclude` matches a cell if all that it names match, and none if it names nothing.
    """
    servers = [server for model in spec.get("models") or () for server in _servers(model)]
    benchmarks = list(spec.get("benchmarks") or ())
    lowest = _defaults(spec.get("defaults") or {})
    for server, entry in _ordered(servers, benchmarks, spec.get("order")):
        if not _excluded(server, entry, spec):
            yield _cell(campaign, [lowest, server.layer, _overlay(entry)], server, entry)
    yield from _included(campaign, spec, lowest, servers, benchmarks)


def _cell(
    campaign: str, layers: Sequence[Written], server: _Server, benchmark: Written, include: str | None = None
) -> Cell:
    merged = merge_all(layers, model=BenchmarkRunSpec)
    return Cell(
        name=f"{campaign}-{cell_hash(merged)}",
        model=server.model,
        variant=server.variant,
        benchmark=benchmark["name"],
        include=include,
        spec=merged,
    )


def _included(
    campaign: str, spec: Written, lowest: Written, servers: Sequence[_Server], benchmarks: Sequence[Written]
) -> Iterator[Cell]:
    for entry in spec.get("include") or ():
        for server in servers:
            for benchmark in benchmarks:
                if (server.model, benchmark["name"]) == (entry["model"], entry["benchmark"]):
                    layers = [lowest, server.layer, _overlay(benchmark), _overlay(entry)]
                    yield _cell(campaign, layers, server, benchmark, include=entry["name"])


def _defaults(entry: Written) -> Written:
    limit = entry.get("taskLimit")
    return _overlay(entry) if limit is None else {**_overlay(entry), "task": {"limit": limit}}


def _overlay(entry: Written) -> dict[str, Any]:
    return {field: value for field, value in entry.items() if field not in _NOT_OVERLAY}


def _servers(model: Written) -> Iterator[_Server]:
    for variant in model.get("variants") or ():
        yield _Server(model["name"], variant["name"], _varied(_overlay(model), variant))
    if not model.get("variants"):
        yield _Server(model["name"], None, _overlay(model))


def _varied(layer: Written, variant: Written) -> Written:
    """A model's layer with a variant: generation is the run's, all else is the template's."""
    change = {field: value for field, value in _overlay(variant).items() if field != "generation" and value is not None}
    generation = variant.get("generation")
    upper = {} if generation is None else {"generation": generation}
    merged = merge(layer, upper, model=BenchmarkRunSpec)
    if not change:
        return merged
    server = merged.get("server") or {}
    template = server.get("template") or {}
    spec = _without_removed(merge(template.get("spec") or {}, change, model=ModelServerSpec))
    return {**merged, "server": {**server, "template": {**template, "spec": spec}}}


def _without_removed(spec: Written) -> Written:
    """`null` takes an engine's option away."""
    options = spec.get("engineArgs")
    if not isinstance(options, Mapping):
        return spec
    return {**spec, "engineArgs": {name: value for name, value in options.items() if value is not None}}


def _excluded(server: _Server, benchmark: Written, spec: Written) -> bool:
    names = {"models": server.model, "variants": server.variant, "benchmarks": benchmark["name"]}
    rules = ({key: entry[key] for key in names if entry.get(key)} for entry in spec.get("exclude") or ())
    return any(rule and all(names[key] in allowed for key, allowed in rule.items()) for rule in rules)


def _ordered(
    servers: Sequence[_Server], benchmarks: Sequence[Written], order: str | None
) -> Iterator[tuple[_Server, Written]]:
    if order == "BenchmarkFirst":
        yield from ((server, benchmark) for benchmark in benchmarks for server in servers)
    elif order == "Interleaved":
        # Neighbours share neither model nor benchmark, as far as there are several.
        count = len(benchmarks)
        yield from (
            (server, benchmarks[(row + turn) % count]) for turn in range(count) for row, server in enumerate(servers)
        )
    else:
        yield from ((server, benchmark) for server in servers for benchmark in benchmarks)
