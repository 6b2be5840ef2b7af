"""Layers of what people wrote: what goes before what, and what is left."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.merging import merge, merge_all, written
from joulebench_api.merging.shapes import Form, displaced, shapes
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_api.v1alpha1.rules import OneOf
from joulebench_api.v1alpha1.server_source import ServerSource
from joulebench_api.v1alpha1.storage import Store


def laid(*layers: dict[str, Any], model: type[ApiModel] = BenchmarkRunSpec) -> dict[str, Any]:
    return merge_all(layers, model=model)


def test_the_higher_layer_goes_before_the_lower_one() -> None:
    assert laid({"epochs": 1, "seed": 2}, {"epochs": 4}) == {"epochs": 4, "seed": 2}


def test_objects_merge_and_lists_replace() -> None:
    lower = {"generation": {"stop": ["a", "b"], "seed": 1}, "energy": {"policy": "Required"}}
    upper = {"generation": {"stop": ["c"]}, "energy": {"domains": ["CPU"]}}

    assert laid(lower, upper) == {
        "generation": {"stop": ["c"], "seed": 1},
        "energy": {"policy": "Required", "domains": ["CPU"]},
    }


def test_a_list_with_keys_is_replaced_as_a_whole_too() -> None:
    lower = {"env": [{"name": "A", "value": "1"}]}
    assert laid(lower, {"env": [{"name": "B", "value": "2"}]}, model=ModelServerSpec) == {
        "env": [{"name": "B", "value": "2"}]
    }


def test_a_null_says_nothing_in_a_known_field() -> None:
    assert laid({"epochs": 4, "generation": {"seed": 1}}, {"epochs": None, "generation": {"seed": None}}) == {
        "epochs": 4,
        "generation": {"seed": 1},
    }
    assert laid({"epochs": None, "submodels": [{"name": "a", "generation": None}]}) == {"submodels": [{"name": "a"}]}


def test_a_null_is_a_value_in_an_open_object() -> None:
    lower = {"generation": {"extraBody": {"a": 1, "deep": {"x": 1, "y": 2}}}}
    upper = {"generation": {"extraBody": {"a": None, "deep": {"x": None}}}}

    assert laid(lower, upper) == {"generation": {"extraBody": {"a": None, "deep": {"x": None, "y": 2}}}}


@pytest.mark.parametrize(
    ("lower", "upper", "merged", "model"),
    [
        ({"claim": {"name": "a"}}, {"objectStore": {"url": "s3://b"}}, {"objectStore": {"url": "s3://b"}}, Store),
        (
            {"objectStore": {"url": "s3://a", "region": "r"}},
            {"objectStore": {"url": "s3://b"}},
            {"objectStore": {"url": "s3://b", "region": "r"}},
            Store,
        ),
        (
            {"modelServerRef": {"name": "a"}, "access": "Shared", "routing": "RoundRobin"},
            {"external": {"url": "http://x", "model": "m"}},
            {"external": {"url": "http://x", "model": "m"}, "routing": "RoundRobin"},
            ServerSource,
        ),
        ({"agent": {"name": "react"}}, {"load": {"stages": []}}, {"load": {"stages": []}}, BenchmarkRunSpec),
        ({"load": {"stages": []}}, {"agent": {"name": "react"}}, {"agent": {"name": "react"}}, BenchmarkRunSpec),
        (
            {"concurrency": 8, "epochs": 4, "judge": {}, "seed": 1},
            {"load": {"stages": []}},
            {"load": {"stages": []}, "seed": 1},
            BenchmarkRunSpec,
        ),
        ({"load": {"search": {}}}, {"load": {"stages": []}}, {"load": {"stages": []}}, BenchmarkRunSpec),
        ({"preset": "small"}, {"model": "a/b"}, {"model": "a/b"}, ModelServerSpec),
    ],
)
def test_a_field_of_a_union_takes_the_place_of_the_others(
    lower: dict[str, Any], upper: dict[str, Any], merged: dict[str, Any], model: type[ApiModel]
) -> None:
    assert laid(lower, upper, model=model) == merged


def test_layers_are_not_changed() -> None:
    lower: dict[str, Any] = {"generation": {"extraBody": {"a": {"b": 1}}}, "agent": {"name": "x"}}
    upper: dict[str, Any] = {"generation": {"extraBody": {"a": {"b": 2}}}, "load": {"stages": []}}
    before = repr((lower, upper))

    laid(lower, upper)

    assert repr((lower, upper)) == before


def test_what_was_written_of_an_object_has_no_default_in_it() -> None:
    spec = BenchmarkRunSpec.model_validate(
        {
            "server": {"template": {"spec": {"engine": "vLLM", "model": "m", "replicas": 1}}},
            "task": {"name": "gsm8k", "limit": None},
            "generation": {"temperature": "0.70"},
        }
    )
    assert written(spec) == {
        "server": {"template": {"spec": {"engine": "vLLM", "model": "m", "replicas": 1}}},
        "task": {"name": "gsm8k"},
        "generation": {"temperature": "0.7"},
    }


# --- for all layers ---------------------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b", "c"])
_LEAVES: st.SearchStrategy[Any] = st.one_of(st.integers(0, 9), st.booleans(), _NAMES, st.none())


def open_object(depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Any open object, in which one name holds objects and the others values: layers agree on what a name holds."""
    inner = st.just({}) if depth == 2 else st.deferred(lambda: open_object(depth + 1))
    return st.fixed_dictionaries({}, optional={"a": _LEAVES, "b": _LEAVES, "deep": inner})


def layer_of(model: type[ApiModel], depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Any layer over a type: some of its fields, at most one of a union; values need not be valid."""
    fields = {name: value_of(shape, depth) for name, shape in shapes(model).items()}
    return st.fixed_dictionaries({}, optional=fields).map(lambda layer: one_of_each_union(model, layer))


def value_of(shape: Any, depth: int) -> st.SearchStrategy[Any]:
    if shape.form is Form.OPEN:
        return open_object()
    if shape.form is Form.LIST:
        return st.lists(st.integers(0, 3), max_size=2)
    if shape.model is not None:
        return st.just({}) if depth == 3 else layer_of(shape.model, depth + 1)
    return _LEAVES if shape.form is Form.VALUE else st.sampled_from([1, "0.5", None])


def one_of_each_union(model: type[ApiModel], layer: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in layer.items():
        if value is None or not (displaced(model, name) & {key for key in kept if kept[key] is not None}):
            kept[name] = value
    # What a field excludes must not stand beside it, whichever came first.
    return {name: value for name, value in kept.items() if not _excluded(model, name, kept)}


def _excluded(model: type[ApiModel], name: str, layer: dict[str, Any]) -> bool:
    return any(value is not None and name in displaced(model, other) for other, value in layer.items())


LAYERS = layer_of(BenchmarkRunSpec)


@st.composite
def agreeing_layers(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Three layers that never say two different fields of one union, or an object where another says a value."""
    return tuple(without_unions(BenchmarkRunSpec, draw(LAYERS)) for _ in range(3))  # type: ignore[return-value]


def without_unions(model: type[ApiModel], layer: dict[str, Any]) -> dict[str, Any]:
    """The layer with, of each union, its first field only."""
    known = shapes(model)
    later = {name for rule in model.rules if isinstance(rule, OneOf) for name in rule.fields[1:]}
    result = {}
    for name, value in layer.items():
        inner = known[name].model
        if name not in later:
            result[name] = without_unions(inner, value) if inner is not None and isinstance(value, dict) else value
    return result


@given(agreeing_layers())
def test_merging_is_associative_where_layers_agree_on_unions_and_objects(layers: tuple[dict[str, Any], ...]) -> None:
    a, b, c = layers
    assert laid(laid(a, b), c) == laid(a, laid(b, c))


@given(LAYERS, LAYERS)
def test_merging_a_layer_twice_changes_nothing(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    once = laid(lower, upper)

    assert laid(once, upper) == once
    assert laid(once, once) == once
    assert laid({}, once) == laid(once, {}) == once


@given(LAYERS, LAYERS)
def test_nothing_below_beats_what_somebody_wrote(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    assert_holds(laid(lower, upper), laid(upper), BenchmarkRunSpec)


def assert_holds(merged: Any, said: Any, model: type[ApiModel] | None) -> None:
    """Every leaf and list of `said` is in `merged` as it is."""
    for name, value in said.items():
        if isinstance(value, dict):
            assert_holds(merged[name], value, None)
        else:
            assert merged[name] == value


@given(LAYERS, LAYERS)
def test_no_merged_object_has_two_fields_of_a_union(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    assert_exclusive(BenchmarkRunSpec, laid(lower, upper))


def assert_exclusive(model: type[ApiModel], merged: dict[str, Any]) -> None:
    for rule in model.rules:
        if isinstance(rule, OneOf):
            assert len(set(rule.fields) & merged.keys()) <= 1
    for name, value in merged.items():
        inner = shapes(model)[name].model
        if inner is not None and isinstance(value, dict):
            assert_exclusive(inner, value)


def test_a_union_that_is_switched_there_and_back_is_merged_from_the_lowest_up() -> None:
    claim: dict[str, Any] = {"claim": {"name": "a", "path": "p"}}
    bucket: dict[str, Any] = {"objectStore": {"url": "s3://b"}}
    again: dict[str, Any] = {"claim": {"name": "c"}}

    assert merge(merge(claim, bucket, model=Store), again, model=Store) == {"claim": {"name": "c"}}
