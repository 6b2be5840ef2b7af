"""`--set`: values that take the place of what a file says."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.errors import InvalidDocumentError
from joulebench_api.loading import Loaded, load
from joulebench_api.overrides import parse_path
from joulebench_api.problems import path_text

RUN = """\
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: a}
spec:
  server: {external: {url: "http://x/v1", model: m}}
  task: {name: t, limit: 5, params: {a: {b: 1}}}
  load: {stages: [{name: one, rate: 1, requests: 10}]}
"""
KEYS = st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"]), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text("abc :-#'\"\\\n\t[]{}", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc:", max_size=3), inner, max_size=3),
    max_leaves=6,
)


def _loaded(*overrides: str) -> Loaded:
    return load(RUN, source="x.yaml", overrides=overrides)


@given(st.lists(KEYS | st.integers(0, 99_999), max_size=5), KEYS)
def test_a_path_s_text_reads_back_as_the_same_path(rest: list[str | int], first: str) -> None:
    path = (first, *rest)

    assert parse_path(path_text(path)) == path


@given(st.text(max_size=20))
def test_any_text_is_a_path_or_is_refused(text: str) -> None:
    path = parse_path(text)

    assert path is None or all(isinstance(step, str | int) for step in path)


@given(JSON)
def test_any_value_arrives_as_it_was_written(value: object) -> None:
    loaded = _loaded(f"spec.task.params.x={json.dumps(value)}")

    assert loaded.run.spec.task.params == {"a": {"b": 1}, "x": value}


def test_a_value_is_read_as_yaml() -> None:
    task = _loaded("spec.task.limit=20", "spec.task.split='20'", "spec.task.recordIds=[a, b]").run.spec.task

    assert (task.limit, task.split, task.record_ids) == (20, "20", ("a", "b"))


def test_an_empty_value_removes_a_field() -> None:
    assert _loaded("spec.task.limit=").run.spec.task.limit is None


def test_later_overrides_win() -> None:
    assert _loaded("spec.task.limit=1", "spec.task.limit=2").run.spec.task.limit == 2


def test_objects_on_the_way_are_made() -> None:
    generation = _loaded("spec.generation.maxTokens=7").run.spec.generation

    assert generation is not None
    assert generation.max_tokens == 7


def test_entries_of_lists_are_changed_and_appended() -> None:
    load_spec = _loaded(
        "spec.load.stages[0].rate=9", "spec.load.stages[1]={name: two, concurrency: 2, duration: 1m}"
    ).run.spec.load

    assert load_spec is not None
    assert load_spec.stages is not None
    assert [(stage.name, stage.rate) for stage in load_spec.stages] == [("one", 9), ("two", None)]


def test_keys_with_dots_and_equals_signs_are_quoted() -> None:
    loaded = _loaded('metadata.annotations["a.b/c"]=d=e', 'spec.task.params["x=y"]=1')

    assert loaded.run.metadata.annotations == {"a.b/c": "d=e"}
    assert loaded.run.spec.task.params["x=y"] == 1


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("spec.task.limit", "not an override; write it as --set spec.task.limit=20"),
        ("=5", "not an override"),
        ("spec..task=5", "not an override"),
        (".spec=5", "not an override"),
        ("spec.load.stages[x]=5", "not an override"),
        ("[0]=5", "not an override"),
        ("spec.task.limit=[1", "spec.task.limit: not YAML that can be read"),
        ("spec.task.limit=1\n---\n2", "spec.task.limit: more than one value"),
        ("spec.task.name.first=5", "spec.task.name is 't' and has no field 'first'"),
        ("spec.task[0]=5", "spec.task is an object and has no entries"),
        ("spec.load.stages.rate=5", "spec.load.stages is a list and has no field 'rate'; name an entry such as [0]"),
        ("spec.load.stages[7]=5", "spec.load.stages has 1 entries, so [7] cannot be set; the next one is [1]"),
        ("spec.tusk.limit=5", "spec.tusk: unknown field; did you mean 'task'?"),
        ("spec.task.limit=many", "spec.task.limit: must be a whole number, found 'many'"),
    ],
)
def test_a_wrong_override_is_told_as_it_was_given(override: str, text: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        _loaded(override)

    (problem,) = caught.value.problems
    assert str(problem).startswith(f"--set {override}: ")
    assert text in str(problem)
    assert (problem.line, problem.column) == (None, None)


def test_a_wrong_value_that_is_replaced_is_no_problem_any_more(load_run: Callable[..., Loaded], run_text: str) -> None:
    wrong = run_text.replace("name: gsm8k", "name: 5")

    assert load_run("spec.task.name=gsm8k", text=wrong).run.spec.task.name == "gsm8k"


def test_a_float_on_the_command_line_is_nothing_to_warn_of() -> None:
    assert _loaded("spec.generation.temperature=0.5").warnings == []
