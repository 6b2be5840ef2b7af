"""The generated CRDs: structural, bounded, small, and the same as the files in the repository."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field
from referencing import Registry, Resource
from ruamel.yaml import YAML
from tests.crds.rules_table import BASES
from tools import generate_crds

from joulebench_api.crd import kinds
from joulebench_api.crd.compatibility import breaking_changes
from joulebench_api.crd.definition import definition, object_schema
from joulebench_api.crd.docstrings import class_text, field_text
from joulebench_api.crd.jsonschema import dispatching, from_structural, of_kind
from joulebench_api.crd.kinds import BENCHMARK_CAMPAIGN, BENCHMARK_RUN, KINDS, MODEL_SERVER, Kind
from joulebench_api.crd.structural import of_annotation, structural
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.campaign import CampaignModel, Overlay
from joulebench_api.v1alpha1.rules import Cel

ROOT = Path(__file__).resolve().parents[2]
NAMES = [kind.name for kind in KINDS]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=NAMES)


def _walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _walk(inner, f"{path}.{name}")
    for key, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from _walk(schema[key], path + sign)


# --- Structure ------------------------------------------------------------------------------------------------------


@each_kind
def test_a_schema_is_structural(kind: Kind) -> None:
    for path, schema in _walk(object_schema(kind)):
        assert not {"$ref", "anyOf", "oneOf", "allOf", "not", "nullable", "title"} & schema.keys(), path
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"properties", "additionalProperties"} <= schema.keys(), path
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys(), path


@each_kind
def test_every_list_says_what_it_is_and_where_it_ends(kind: Kind) -> None:
    for path, schema in _walk(object_schema(kind)):
        if schema.get("type") == "array":
            assert schema["x-kubernetes-list-type"] in {"atomic", "set", "map"}, path
            assert "maxItems" in schema, path
        if schema.get("x-kubernetes-list-type") == "map":
            # A key may be absent on no entry.
            assert set(schema["x-kubernetes-list-map-keys"]) <= set(schema["items"]["required"]), path


@each_kind
def test_there_are_no_floats_and_no_words_that_yaml_takes_for_truth_values(kind: Kind) -> None:
    words = {"on", "off", "yes", "no", "y", "n", "true", "false", "null", "~"}
    for path, schema in _walk(object_schema(kind)):
        assert schema.get("type") != "number", path
        assert not {str(value).lower() for value in schema.get("enum", ())} & words or path.endswith("[].status"), path


@each_kind
def test_every_rule_says_what_is_wrong_and_points_to_a_field_that_is_there(kind: Kind) -> None:
    for path, schema in _walk(object_schema(kind)):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"].strip(), path
            assert "\n" not in rule["message"], path
            place = schema
            for step in filter(None, rule.get("fieldPath", "").split(".")):
                place = place["properties"][step]


@each_kind
def test_a_crd_is_small_enough_for_kubectl_apply(kind: Kind) -> None:
    assert len(json.dumps(definition(kind), separators=(",", ":"))) <= 200 * 1024


def test_a_campaign_s_overlays_are_described_once_in_the_crd_and_everywhere_for_editors() -> None:
    crd = definition(BENCHMARK_CAMPAIGN)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    editor = of_kind(BENCHMARK_CAMPAIGN)["properties"]["spec"]

    def told(spec: dict[str, Any]) -> list[bool]:
        defaults, benchmarks = spec["properties"]["defaults"], spec["properties"]["benchmarks"]["items"]
        return ["description" in part["properties"]["epochs"] for part in (defaults, benchmarks)]

    assert told(crd) == [True, False]
    assert told(editor) == [True, True]
    assert "description" in crd["properties"]["models"]["items"]["properties"]["server"]


@each_kind
def test_a_crd_has_names_columns_and_subresources(kind: Kind) -> None:
    spec = definition(kind)["spec"]
    version = spec["versions"][0]

    assert spec["names"]["categories"] == ["joulebench"]
    assert spec["names"]["shortNames"] == [kind.short_name]
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"
    assert "status" in version["subresources"]
    assert ("scale" in version["subresources"]) is (kind is MODEL_SERVER)


@each_kind
def test_columns_and_scale_paths_name_fields_that_are_there(kind: Kind) -> None:
    paths = [column.path for column in kind.columns]
    paths += definition(kind)["spec"]["versions"][0]["subresources"].get("scale", {}).values()
    for path in paths:
        place: Any = object_schema(kind)
        for step in re.sub(r"\[[^]]*\]", "[]", path).removeprefix(".").split("."):
            if place is not None and not step.startswith("creationTimestamp"):
                place = place["properties"][step.removesuffix("[]")]
                place = place["items"] if step.endswith("[]") else place


def test_our_descriptions_are_kept_and_those_of_kubernetes_are_not() -> None:
    server = structural(MODEL_SERVER.spec)["properties"]

    assert server["maxModelLen"]["description"] == "Tokens of prompt and answer that one request may have."
    assert "description" not in server["placement"]


def test_types_that_are_made_from_others_keep_their_docstrings() -> None:
    assert field_text(Overlay, "concurrency") == field_text(BenchmarkRunSpec, "concurrency")
    assert field_text(CampaignModel, "concurrency") == field_text(BenchmarkRunSpec, "concurrency")
    assert class_text(CampaignModel).startswith("A row of the matrix")


# --- Campaigns: what was written stays what was written -------------------------------------------------------------


@pytest.mark.parametrize("part", ["defaults", "models", "benchmarks", "include", "exclude"])
def test_nothing_that_decides_a_cell_has_a_schema_default(part: str) -> None:
    schema = structural(BENCHMARK_CAMPAIGN.spec)["properties"][part]

    assert [path for path, inner in _walk(schema) if "default" in inner] == []


def test_an_overlay_has_every_field_of_a_run_but_those_said_elsewhere() -> None:
    left_out = {"server", "task", "suspend", "ttl_after_finished", "rerun_token"}

    assert set(Overlay.model_fields) == set(BenchmarkRunSpec.model_fields) - left_out


def test_an_overlay_requires_nothing_outside_lists() -> None:
    def required(schema: dict[str, Any], path: str) -> Iterator[str]:
        yield from (f"{path}.{name}" for name in schema.get("required", ()))
        for name, inner in schema.get("properties", {}).items():
            yield from required(inner, f"{path}.{name}")

    assert list(required(structural(Overlay), "")) == []


def test_only_a_campaign_s_models_hold_a_template() -> None:
    paths = [
        path for path, inner in _walk(structural(BENCHMARK_CAMPAIGN.spec)) if "template" in inner.get("properties", {})
    ]

    assert paths == [".models[].server"]


# --- Annotations ----------------------------------------------------------------------------------------------------


def test_a_type_without_a_structural_schema_is_refused() -> None:
    with pytest.raises(TypeError, match="has no structural schema"):
        of_annotation(float)
    with pytest.raises(TypeError, match="has no structural schema"):
        of_annotation(int | str)


@pytest.mark.parametrize("annotation", [tuple[int, ...], dict[str, str]])
def test_a_list_or_map_without_a_bound_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError, match="has no bound"):
        of_annotation(annotation)


def test_the_narrower_of_two_bounds_stands() -> None:
    schema = of_annotation(Annotated[Annotated[int, Field(ge=0, le=100)], Field(ge=1)])

    assert schema == {"type": "integer", "format": "int64", "minimum": 1, "maximum": 100}


# --- JSON Schemas for editors ---------------------------------------------------------------------------------------


@each_kind
def test_an_editor_s_schema_is_a_json_schema(kind: Kind) -> None:
    Draft202012Validator.check_schema(of_kind(kind))
    assert "x-kubernetes" not in json.dumps(of_kind(kind))


@pytest.mark.parametrize(
    ("structural_schema", "good", "bad"),
    [
        ({"x-kubernetes-int-or-string": True, "pattern": "^[0-9]+$"}, [1, "1"], [0.5, True, "a", None]),
        ({"type": "integer", "format": "int32"}, [2**31 - 1], [2**31, "1"]),
        ({"type": "integer", "format": "int64", "minimum": 0}, [0, 2**63 - 1], [-1, 2**63]),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, [{"a": 1}, {}], [[], "a"]),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, [{"a": "b"}, {}], [{"b": 1}, {"a": 1}]),
        ({"type": "object", "additionalProperties": {"type": "string"}}, [{"a": "b"}], [{"a": 1}]),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            [["a", "b"]],
            [["a", "a"], [1]],
        ),
    ],
)
def test_a_structural_schema_means_the_same_as_a_json_schema(
    structural_schema: dict[str, Any], good: list[Any], bad: list[Any]
) -> None:
    validator = Draft202012Validator(from_structural(structural_schema))

    assert [value for value in good if not validator.is_valid(value)] == []
    assert [value for value in bad if validator.is_valid(value)] == []


def test_the_schema_for_all_kinds_asks_the_kind_s_own() -> None:
    schemas = [(f"{kind.name}.json", of_kind(kind)) for kind in KINDS]
    registry: Registry[Any] = Registry().with_resources([(name, Resource.from_contents(one)) for name, one in schemas])
    validator = Draft202012Validator(dispatching(KINDS), registry=registry)

    for base in BASES.values():
        assert list(validator.iter_errors(base)) == []
        assert not validator.is_valid(base | {"spec": {"unknown": 1}})
    assert not validator.is_valid(BASES["run"] | {"kind": "Pod"})


# --- Files ----------------------------------------------------------------------------------------------------------


def test_the_files_in_the_repository_are_up_to_date() -> None:
    assert generate_crds.generate(check=True) == []


def test_a_changed_model_is_told_as_drift(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    generate_crds.generate(check=False, root=tmp_path)
    assert generate_crds.generate(check=True, root=tmp_path) == []

    class ChangedSpec(BenchmarkRunSpec):
        forgotten: Annotated[str, Field(max_length=5)] | None = None

    changed = [_with_spec(kind, ChangedSpec) if kind is BENCHMARK_RUN else kind for kind in KINDS]
    monkeypatch.setattr(generate_crds, "KINDS", tuple(changed))

    assert generate_crds.generate(check=True, root=tmp_path) == [
        "charts/joulebench/files/crds/benchmarkruns.joulebench.dev.yaml",
        "crds/generated/benchmarkruns.joulebench.dev.yaml",
        "crds/generated/schemas/BenchmarkRun.json",
    ]


def _with_spec(kind: Kind, spec: type[ApiModel]) -> Kind:
    return kinds.Kind(
        model=kind.model,
        spec=spec,
        status=kind.status,
        plural=kind.plural,
        short_name=kind.short_name,
        columns=kind.columns,
        immutability=kind.immutability,
        scales=kind.scales,
    )


def test_a_file_that_nothing_generates_any_more_is_told_and_removed(tmp_path: Path) -> None:
    generate_crds.generate(check=False, root=tmp_path)
    old = tmp_path / "crds/generated/old.yaml"
    old.write_text("")

    assert generate_crds.generate(check=True, root=tmp_path) == ["crds/generated/old.yaml"]
    assert old.exists()
    generate_crds.generate(check=False, root=tmp_path)
    assert not old.exists()


@each_kind
def test_the_yaml_reads_back_as_the_definition(kind: Kind) -> None:
    text = generate_crds.files()[f"crds/generated/{kind.plural}.joulebench.dev.yaml"]

    assert text.startswith("# Generated")
    assert YAML(typ="safe").load(text) == definition(kind)


def test_the_crds_of_a_release_are_never_changed(tmp_path: Path) -> None:
    generate_crds.keep_release("v9", root=tmp_path)

    with pytest.raises(SystemExit, match="never changed"):
        generate_crds.keep_release("v9", root=tmp_path)


# --- Which changes would break stored objects -----------------------------------------------------------------------

_OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}
_CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    ("nothing changed", _OBJECT, _OBJECT, None),
    (
        "an optional field was added",
        _OBJECT,
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}}},
        None,
    ),
    ("a field was removed", _OBJECT, {"type": "object", "properties": {}}, ".a: removed"),
    ("a field was renamed", _OBJECT, {"type": "object", "properties": {"b": {"type": "string"}}}, ".a: removed"),
    ("a field is required now", _OBJECT, _OBJECT | {"required": ["a"]}, ".: a is required now"),
    ("a field is not required any more", _OBJECT | {"required": ["a"]}, _OBJECT, None),
    ("a type changed", {"type": "string"}, {"type": "integer"}, ".: type was 'string', is 'integer'"),
    ("a value was added", {"enum": ["A"]}, {"enum": ["A", "B"]}, None),
    ("a value was removed", {"enum": ["A", "B"]}, {"enum": ["B"]}, ".: A not allowed any more"),
    ("values are listed now", {}, {"enum": ["A"]}, ".: only A are allowed now"),
    ("values are not listed any more", {"enum": ["A"]}, {}, None),
    ("an upper bound fell", {"maximum": 64}, {"maximum": 32}, ".: maximum was 64, is 32"),
    ("an upper bound rose", {"maximum": 64}, {"maximum": 128}, None),
    ("an upper bound was added", {}, {"maxItems": 8}, ".: maxItems was absent, is 8"),
    ("an upper bound went", {"maxItems": 8}, {}, None),
    ("a lower bound rose", {"minimum": 0}, {"minimum": 1}, ".: minimum was 0, is 1"),
    ("a lower bound fell", {"minLength": 1}, {"minLength": 0}, None),
    ("a pattern changed", {"pattern": "^a$"}, {"pattern": "^b$"}, ".: pattern was '^a$', is '^b$'"),
    ("a pattern was added", {}, {"pattern": "^b$"}, ".: pattern was absent, is '^b$'"),
    ("a pattern went", {"pattern": "^a$"}, {}, None),
    ("a default was added", {}, {"default": 3}, ".: default was absent, is 3"),
    ("a default changed", {"default": 3}, {"default": 4}, ".: default was 3, is 4"),
    ("a default went", {"default": 3}, {}, ".: default was 3, is absent"),
    ("a description changed", {"description": "a"}, {"description": "b"}, None),
    ("an object was closed", {"x-kubernetes-preserve-unknown-fields": True}, {}, ".: x-kubernetes-preserve"),
    ("an object was opened", {}, {"x-kubernetes-preserve-unknown-fields": True}, None),
    ("a list's kind changed", {"x-kubernetes-list-type": "atomic"}, {"x-kubernetes-list-type": "set"}, "list-type was"),
    ("an integer may be text now", {"type": "integer"}, {"x-kubernetes-int-or-string": True}, ".: type was"),
    ("deep in a list", {"items": {"maximum": 2}}, {"items": {"maximum": 1}}, "[]: maximum was 2"),
    (
        "deep in a map",
        {"additionalProperties": {"maximum": 2}},
        {"additionalProperties": {"maximum": 1}},
        "{}: maximum was 2",
    ),
    ("entries have a schema now", {}, {"items": {}}, "items added"),
    (
        "a rule was added",
        {},
        {"x-kubernetes-validations": [Cel("false", "never").as_schema()]},
        ".: new rule: never",
    ),
    ("a rule went", {"x-kubernetes-validations": [Cel("false", "never").as_schema()]}, {}, None),
    (
        "the rule about immutability grew with a field",
        {"x-kubernetes-validations": [Cel("a", "immutable").as_schema()]},
        {"x-kubernetes-validations": [Cel("a && b", "immutable").as_schema()]},
        None,
    ),
]


@pytest.mark.parametrize(("_name", "old", "new", "told"), _CHANGES, ids=[row[0] for row in _CHANGES])
def test_a_change_that_breaks_something_is_told(
    _name: str, old: dict[str, Any], new: dict[str, Any], told: str | None
) -> None:
    found = breaking_changes(old, new)

    assert (found == []) is (told is None)
    assert told is None or told in found[0]


RELEASES = sorted(path for path in (ROOT / "crds/golden").iterdir() if path.is_dir())


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
@each_kind
def test_nothing_breaks_what_a_release_has_stored(release: Path, kind: Kind) -> None:
    kept = YAML(typ="safe").load((release / f"{kind.plural}.joulebench.dev.yaml").read_text())
    old = kept["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert breaking_changes(old, object_schema(kind)) == []


def test_a_removed_field_of_a_real_crd_would_be_told() -> None:
    old, new = object_schema(BENCHMARK_RUN), object_schema(BENCHMARK_RUN)
    del new["properties"]["spec"]["properties"]["shards"]
    new["properties"]["spec"]["properties"]["epochs"]["maximum"] = 3

    assert breaking_changes(old, new) == [
        ".spec.epochs: maximum was 2147483647, is 3",
        ".spec.shards: removed",
    ]
