"""One table of good and bad objects, judged twice: by the models, and by the CRDs' schemas and rules."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from tests.crds.api_server import refusals, schema_of, with_defaults
from tests.crds.rules_table import (
    BASES,
    BOUNDS,
    MUTABLE_SAMPLES,
    ROWS,
    RUN_SAMPLES,
    SERVER_SAMPLES,
    UNIONS,
    Row,
    changed,
)

from joulebench_api.crd.kinds import BENCHMARK_RUN, KINDS, MODEL_SERVER, Immutability, Kind
from joulebench_api.crd.structural import VALIDATIONS, Schema, structural
from joulebench_api.v1alpha1 import kubernetes
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import MUTABLE_FIELDS, BenchmarkRunSpec
from joulebench_api.v1alpha1.rules import Cel, OneOf, Rule, escaped, only_with


def _kind(row: Row) -> Kind:
    return next(kind for kind in KINDS if kind.name == row.kind)


def _read(row: Row, obj: Mapping[str, Any]) -> Any:
    # Only the fields' own spelling counts in a document.
    return _kind(row).model.model_validate(obj, by_alias=True, by_name=False)


@cache
def _refusals(row_id: str) -> list[str]:
    return next(refusals(row.object, row.old) for row in ROWS if row.id == row_id)


def _accepted_by_the_models(row: Row) -> bool:
    try:
        new = _read(row, row.object)
    except ValidationError:
        return False
    immutability = _kind(row).immutability
    if row.old is None or immutability is None:
        return True
    return not list(immutability.violations(_read(row, row.old).spec, new.spec))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_models_judge_each_row(row: Row) -> None:
    assert _accepted_by_the_models(row) is (row.good if row.python_good is None else row.python_good)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.needs_server], ids=lambda row: row.id)
def test_the_schema_and_its_rules_judge_each_row(row: Row) -> None:
    found = _refusals(row.id)

    assert (not found) is row.good, found


@pytest.mark.parametrize("row", [row for row in ROWS if row.old is not None], ids=lambda row: row.id)
def test_what_a_change_begins_with_is_good_by_itself(row: Row) -> None:
    assert row.old is not None
    assert refusals(row.old) == []


def test_the_table_is_large_and_its_rows_have_names_of_their_own() -> None:
    assert len(ROWS) >= 150
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert all(row.why for row in ROWS if row.python_good is not None)


def test_every_rule_of_the_crds_is_broken_by_a_row() -> None:
    told = {_message(text) for row in ROWS if not row.good for text in _refusals(row.id)}

    assert {message for kind in KINDS for message in _messages(schema_of(kind.name))} - told == set()


def _message(text: str) -> str:
    return text.split(": ", 1)[1]


def _messages(schema: Schema) -> Iterator[str]:
    yield from (rule["message"] for rule in schema.get(VALIDATIONS, ()))
    for inner in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
        if inner is not None:
            yield from _messages(inner)


@cache
def _types() -> frozenset[type[ApiModel]]:
    """All types that users' documents are made of."""
    found: set[type[ApiModel]] = set()

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, ApiModel) and annotation not in found:
            found.add(annotation)
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for argument in get_args(annotation):
            visit(argument)

    for kind in KINDS:
        visit(kind.spec)
    return frozenset(found)


def test_every_union_is_in_the_table() -> None:
    listed = {frozenset(union.samples) for union in UNIONS}

    missing = [
        rule.fields
        for model in _types()
        for rule in model.rules
        # In a copy that lacks a member, the union is the rest of one that is listed.
        if isinstance(rule, OneOf) and not any(listed_fields >= set(rule.fields) for listed_fields in listed)
    ]
    assert missing == []


_NUMBERS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")


def test_every_bound_of_a_number_text_or_list_is_in_the_table() -> None:
    listed = {_bounds(_schema_at(base, path)) for base, _, path, _, _ in BOUNDS}
    # A bound is the same thing wherever it stands; what Kubernetes' own types say is not ours.
    missing = {
        (model.__name__, name)
        for model in _types()
        if model.__module__ != kubernetes.__name__
        for name, schema in structural(model).get("properties", {}).items()
        # A list of an enumeration's values ends with the enumeration.
        if "enum" not in schema.get("items", {})
        and set(_bounds(schema)) != {None}
        and "pattern" not in schema
        and _bounds(schema) not in listed
    }
    assert missing == set()


def _bounds(schema: Schema) -> tuple[Any, ...]:
    return tuple(schema.get(key) for key in _NUMBERS)


def _schema_at(base: str, path: str) -> Schema:
    schema = schema_of(BASES[base]["kind"])
    for step in path.split("."):
        schema = schema["items"] if step.isdigit() else schema["properties"][step]
    return schema


def test_no_field_of_a_run_can_be_forgotten_when_it_comes_to_immutability() -> None:
    assert BENCHMARK_RUN.immutability is not None
    fields = {field.alias for field in BenchmarkRunSpec.model_fields.values()}

    assert set(BENCHMARK_RUN.immutability.fields) == set(RUN_SAMPLES) == fields - set(MUTABLE_SAMPLES)
    assert len(MUTABLE_FIELDS) == len(MUTABLE_SAMPLES) == 3


def test_the_immutable_fields_of_a_server_are_all_tried() -> None:
    assert MODEL_SERVER.immutability is not None
    assert set(MODEL_SERVER.immutability.fields) == set(SERVER_SAMPLES)


def test_a_rule_at_each_field_would_not_see_that_a_field_is_added() -> None:
    # Why there is one rule at the spec: without the first half of each condition, an added judge passes.
    rule = Immutability(("judge",), "m").cel.rule

    assert "has(self.judge) == has(oldSelf.judge)" in rule


def test_a_rule_without_cel_says_why() -> None:
    with pytest.raises(ValueError, match="python_only"):
        Rule(lambda _given: ())


def test_every_rule_names_its_fields_as_they_are_written() -> None:
    rule = only_with("idleTimeout", "activation", "OnDemand", default="Always")

    assert rule.cel == (
        Cel(
            "!has(self.idleTimeout) || (has(self.activation) && self.activation in ['OnDemand'])",
            "is allowed only with activation: OnDemand",
            ".idleTimeout",
        ),
    )


@pytest.mark.parametrize(("name", "cel"), [("api-key", "api__dash__key"), ("a.b/c", "a__dot__b__slash__c"), ("a", "a")])
def test_names_that_cel_cannot_write_are_escaped(name: str, cel: str) -> None:
    assert escaped(name) == cel


def test_defaults_are_filled_in_all_the_way_down() -> None:
    filled = with_defaults(BASES["run"], schema_of("BenchmarkRun"))

    assert filled["spec"]["timeouts"] == {"serverReady": "1h", "run": "24h"}
    assert filled["spec"]["server"]["template"]["spec"]["parallelism"]["tensor"] == 1
    assert "energy" not in filled["spec"]


def test_changes_of_a_base_leave_the_base_as_it_is() -> None:
    changed(BASES["run"], {"spec.task.limit": 3})

    assert "limit" not in BASES["run"]["spec"]["task"]
