"""Texts with any number of documents: what is read, what is left out, and what is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.catalog import Catalog, Task
from joulebench_api.checking.files import LoadedFile
from joulebench_api.checking.names_used import check_names
from joulebench_api.loading import load_all
from joulebench_api.problems import Severity
from joulebench_api.yaml_tree import parse

RUN = """\
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: first}
spec:
  server: {template: {spec: {engine: LlamaCpp, model: /models/a.gguf}}}
  task: {name: gsm8k}
"""

SERVER = """\
apiVersion: joulebench.dev/v1alpha1
kind: ModelServer
metadata: {name: big}
spec: {engine: LlamaCpp, model: org/big}
"""

CAMPAIGN = """\
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkCampaign
metadata: {name: nightly}
spec:
  defaults: {concurrency: 4}
  models:
  - {name: a, server: {template: {spec: {engine: LlamaCpp, model: org/a}}}}
  - {name: b, server: {template: {spec: {engine: LlamaCpp, model: org/b}}}}
  benchmarks:
  - {name: one, task: {name: gsm8k}}
  - {name: two, task: {name: everyday}}
"""

CONFIGURATION = """\
apiVersion: config.joulebench.dev/v1alpha1
kind: OperatorConfiguration
accelerators: {h100: {resourceName: nvidia.com/gpu}}
presets: {house: {engine: LlamaCpp, model: org/house}}
"""

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: on, b: !Ref c}\n"


def read(*texts: str, strangers: bool = False) -> LoadedFile:
    return load_all("---\n".join(texts), source="x.yaml", strangers=strangers)


def told(file: LoadedFile, severity: Severity) -> list[str]:
    return [str(problem) for problem in file.problems if problem.severity is severity]


def errors(*texts: str) -> list[str]:
    return told(read(*texts), Severity.ERROR)


def names(*texts: str, known: Catalog | None = None) -> list[str]:
    return list(map(str, check_names(read(*texts).documents, known=known)))


def test_all_kinds_are_read_from_one_text() -> None:
    file = read(RUN, SERVER, CAMPAIGN, CONFIGURATION)

    assert file.problems == []
    assert [(document.kind, document.name, document.value is not None) for document in file.documents] == [
        ("BenchmarkRun", "first", True),
        ("ModelServer", "big", True),
        ("BenchmarkCampaign", "nightly", True),
        ("OperatorConfiguration", "", True),
    ]


def test_every_error_of_every_document_is_told_at_once_in_the_order_of_the_text() -> None:
    file = read(
        RUN.replace("task: {name: gsm8k}", "task: {nmae: gsm8k, limit: 0}"),
        SERVER.replace("model: org/big", "model: org/big, replicas: -1"),
        CAMPAIGN.replace("name: nightly", "name: Nightly").replace("concurrency: 4", "concurency: 4"),
    )
    places = [(problem.line, problem.path) for problem in file.problems]

    assert places == [
        (6, "spec.task.nmae"),
        (6, "spec.task.limit"),
        (11, "spec.replicas"),
        (15, "metadata.name"),
        (17, "spec.defaults.concurency"),
    ]
    assert file.problems[4].remedy == "did you mean 'concurrency'?"


def test_foreign_objects_are_left_out_with_a_note_and_are_not_judged() -> None:
    file = read(CONFIG_MAP, RUN)

    assert [document.kind for document in file.documents] == ["BenchmarkRun"]
    assert [str(problem) for problem in file.problems] == ["x.yaml:1:1: left out: ConfigMap of v1 is not joulebench's"]
    assert file.problems[0].severity is Severity.NOTE


@pytest.mark.parametrize(
    ("kind", "version", "message"),
    [
        ("BenchmarkRn", "joulebench.dev/v1alpha1", "x.yaml:2:7: kind: 'BenchmarkRn' is not a kind of joulebench"),
        ("Pod", "joulebench.dev/v1alpha1", "'Pod' is not a kind of joulebench; write ModelServer, BenchmarkRun,"),
        ("BenchmarkRun", "joulebench.dev/v1", "'joulebench.dev/v1' is not a version of BenchmarkRun"),
        ("BenchmarkRun", "joulbench.dev/v1alpha1", "write joulebench.dev/v1alpha1"),
        ("BenchmarkRun", "v1", "'v1' is not a version of BenchmarkRun"),
        ("BenchmarkRun", "config.joulebench.dev/v1alpha1", "write joulebench.dev/v1alpha1"),
        ("BenchmarkRun", "7", "7 is not a version of BenchmarkRun"),
    ],
)
def test_a_kind_or_version_that_is_nearly_ours_is_an_error(kind: str, version: str, message: str) -> None:
    text = RUN.replace("kind: BenchmarkRun", f"kind: {kind}").replace(
        "apiVersion: joulebench.dev/v1alpha1", f"apiVersion: {version}"
    )
    (error,) = errors(text)
    assert message in error


def test_a_kind_of_ours_in_another_project_s_group_is_foreign() -> None:
    file = read(SERVER.replace("joulebench.dev/v1alpha1", "serving.example.com/v1"))
    assert (file.documents, [problem.severity for problem in file.problems]) == ([], [Severity.NOTE])


def test_a_missing_version_is_named_and_the_rest_is_checked() -> None:
    text = RUN.replace("apiVersion: joulebench.dev/v1alpha1\n", "").replace("gsm8k", "gsm8k, limit: 0")
    assert errors(text) == [
        "x.yaml:1:1: apiVersion: required, but missing; write apiVersion: joulebench.dev/v1alpha1",
        "x.yaml:5:30: spec.task.limit: must be at least 1, found 0",
    ]


def test_a_document_without_kind_is_refused_alone_and_left_out_in_folders() -> None:
    values = "replicas: 2\n"

    assert "kind: required, but missing" in errors(values)[0]
    assert [problem.severity for problem in read(values, strangers=True).problems] == [Severity.NOTE]
    assert errors("- a\n") == ["x.yaml:1:1: a document must be an object, found a list"]


EXPORTED = RUN.replace(
    "metadata: {name: first}",
    "metadata: {name: first, namespace: a, uid: 1-2, resourceVersion: '7', generation: 1, creationTimestamp: null, "
    "managedFields: [{manager: kubectl}]}",
).replace("spec:\n", "status: {conditions: []}\nspec:\n")


def test_an_object_as_kubectl_prints_it_is_read_with_a_note() -> None:
    file = read(EXPORTED)

    assert file.documents[0].value is not None
    (note,) = told(file, Severity.NOTE)
    assert "not looked at: status, metadata.creationTimestamp, metadata.generation, metadata.managedFields" in note


def test_a_list_as_kubectl_prints_it_is_read_item_by_item() -> None:
    items = "".join(
        f"- {text.replace(chr(10), chr(10) + '  ').rstrip()}\n"
        for text in (RUN, SERVER, RUN.replace("first", "Second"))
    )
    file = read(f"apiVersion: v1\nkind: List\nitems:\n{items}")

    assert [document.name for document in file.documents] == ["first", "big", "Second"]
    (error,) = told(file, Severity.ERROR)
    assert error.startswith("x.yaml:16:20: items[2].metadata.name: 'Second' is not a name")


def test_two_objects_of_one_kind_and_name_are_an_error_unless_their_namespaces_differ() -> None:
    elsewhere = SERVER.replace("name: big", "name: big, namespace: other")

    assert errors(SERVER, elsewhere) == []
    assert errors(SERVER, RUN, SERVER)[0].startswith("x.yaml:15:18: metadata.name: a second ModelServer named 'big'")


def test_text_that_is_no_yaml_is_told_beside_what_could_be_read() -> None:
    file = read(RUN, "a: [1\n")

    assert [document.name for document in file.documents] == ["first"]
    assert "not YAML that can be read" in told(file, Severity.ERROR)[0]


def test_unquoted_decimals_are_warned_of_also_beside_errors_and_below_names_of_the_user() -> None:
    run = RUN + "  generation: {temperature: 0.70}\n  epochs: 0\n"
    config = CONFIGURATION + "namespaces: {a: {cost: {electricityPerKWh: 0.2}}}\n"

    assert told(read(run, config), Severity.WARNING) == [
        'x.yaml:7:29: spec.generation.temperature: a cluster refuses 0.7 without quotes; write "0.7"',
        'x.yaml:14:44: namespaces.a.cost.electricityPerKWh: a cluster refuses 0.2 without quotes; write "0.2"',
    ]


# --- campaigns --------------------------------------------------------------------------------------------------------


def test_what_two_good_layers_make_together_is_checked_and_told_once() -> None:
    text = CAMPAIGN.replace("{concurrency: 4}", "{load: {stages: [{name: s, rate: 1, requests: 5}]}}").replace(
        "task: {name: everyday}", "task: {name: everyday}, concurrency: 2"
    )
    (error,) = errors(text)

    assert error.startswith("x.yaml:11:54: spec.benchmarks[1].concurrency: has no meaning with load")
    assert (
        "(in the run of a x two and 1 more, whose spec.concurrency this becomes); remove concurrency or load" in error
    )


def test_two_cells_that_are_the_same_run_are_an_error() -> None:
    (error, *others) = errors(CAMPAIGN.replace("org/b", "org/a"))

    assert error.startswith("x.yaml:8:5: spec.models[1]: the cell b x one is the same run as the cell a x one")
    assert len(others) == 1


def test_a_campaign_without_a_cell_is_an_error() -> None:
    assert "x.yaml:12:3: spec.exclude: leaves no cell to run" in errors(CAMPAIGN + "  exclude: [{models: [a, b]}]\n")[0]


def test_of_very_many_cells_only_the_first_are_made_and_that_is_said() -> None:
    head, _, _ = CAMPAIGN.partition("  models:")
    template = "server: {template: {spec: {engine: LlamaCpp, model: org/m"
    models = "".join(f"  - {{name: m{n}, {template}{n}}}}}}}}}\n" for n in range(200))
    tasks = "".join(f"  - {{name: t{n}, task: {{name: gsm8k, limit: {n + 1}}}}}\n" for n in range(200))
    file = read(f"{head}  models:\n{models}  benchmarks:\n{tasks}")

    assert [str(problem) for problem in file.problems] == [
        "x.yaml:1:1: of its cells only the first 2,000 were made and checked"
    ]


# --- names ------------------------------------------------------------------------------------------------------------

KNOWN = Catalog(
    tasks={"gsm8k": Task("gsm8k", "GSM8K", "", "MIT", scored=True, params={})},
    agents=("react",),
    tools=("calculator",),
    presets={},
    engines=("vLLM", "LlamaCpp"),
    startable=("LlamaCpp",),
    exports=(),
)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            ("name: gsm8k", "name: gsm8"),
            "x.yaml:6:16: spec.task.name: 'gsm8' is no task that is known here; did you mean 'gsm8k'?",
        ),
        (("name: gsm8k", "name: other"), "'other' is no task that is known here; known: gsm8k; nothing is wrong if"),
        (("name: gsm8k", "name: gsm8k, params: {a: 1}"), "spec.task.params.a: 'a' is no parameter of gsm8k"),
        (("LlamaCpp, model: /models/a.gguf", "vLLM, model: a/b"), "this release cannot start vLLM yet; use LlamaCpp"),
        (("engine: LlamaCpp, model: /models/a.gguf", "preset: hause"), "'hause' is no preset that is known here"),
        (
            ("task:", "agent: {name: reakt}\n  task:"),
            "spec.agent.name: 'reakt' is no agent that is known here; did you mean",
        ),
        (
            ("task:", "agent: {name: react, tools: [{name: t, builtin: calculater}]}\n  task:"),
            "spec.agent.tools[0].builtin: 'calculater' is no tool that is known here; did you mean 'calculator'?",
        ),
    ],
)
def test_a_name_that_the_catalogue_does_not_know_is_warned_of(change: tuple[str, str], warning: str) -> None:
    (found,) = names(RUN.replace(*change), known=KNOWN)
    assert warning in found


def test_names_that_are_known_or_another_package_s_are_not_warned_of() -> None:
    inspect_task = RUN.replace("name: gsm8k", "name: 'inspect:inspect_evals/gpqa', params: {any: 1}")
    tools = RUN.replace(
        "task:", "agent: {name: react, params: {name: x}, tools: [{name: t, builtin: calculator}]}\n  task:"
    )

    assert names(RUN, inspect_task.replace("first", "second"), tools.replace("first", "third"), known=KNOWN) == []


def test_presets_and_profiles_of_a_configuration_beside_are_known() -> None:
    house = RUN.replace("engine: LlamaCpp, model: /models/a.gguf", "preset: house, accelerator: {profile: h100}")

    assert names(house, CONFIGURATION) == []
    assert "did you mean 'h100'?" in names(house.replace("h100", "h10"), CONFIGURATION)[0]
    assert len(names(house, known=KNOWN)) == 1, "without a configuration nothing is known of profiles"


REFERENCE = RUN.replace(
    "server: {template: {spec: {engine: LlamaCpp, model: /models/a.gguf}}}", "server: {modelServerRef: {name: big}}"
)


def test_a_reference_to_a_server_that_is_not_in_the_files_is_a_warning() -> None:
    (warning,) = names(REFERENCE)

    assert warning.startswith(
        "x.yaml:5:35: spec.server.modelServerRef.name: 'big' is no ModelServer that is known here"
    )
    assert "on the cluster" in warning
    assert names(REFERENCE, SERVER) == []
    assert "did you mean 'big'?" in names(REFERENCE.replace("big", "bik"), SERVER)[0]


def test_a_reference_finds_servers_of_its_own_namespace_only() -> None:
    here = REFERENCE.replace("{name: first}", "{name: first, namespace: a}")

    assert names(here, SERVER) == []
    assert names(here, SERVER.replace("name: big", "name: big, namespace: a")) == []
    assert len(names(here, SERVER.replace("name: big", "name: big, namespace: b"))) == 1


def test_references_and_tasks_of_campaigns_are_looked_at_too() -> None:
    text = CAMPAIGN.replace("{concurrency: 4}", "{judge: {server: {modelServerRef: {name: judge}}}}")
    found = names(text, known=KNOWN)

    assert any("spec.defaults.judge.server.modelServerRef.name" in warning for warning in found)
    assert any("spec.benchmarks[1].task.name: 'everyday'" in warning for warning in found)


def test_many_known_names_are_shortened() -> None:
    tasks = {f"t{number:02}": KNOWN.tasks["gsm8k"] for number in range(40)}
    many = Catalog(tasks, (), (), {}, KNOWN.engines, KNOWN.startable, ())

    (warning,) = names(RUN, known=many)
    assert "known: t00, t01, t02, t03, t04, t05, t06, t07, t08, t09 and 30 more" in warning


# --- any text ---------------------------------------------------------------------------------------------------------

LIST = "kind: List\nitems: [{kind: BenchmarkRun}, 3]\n"
WHOLE = f"{RUN}---\n{SERVER}---\n{CAMPAIGN}---\n{CONFIGURATION}---\n{CONFIG_MAP}---\n{LIST}"
PIECES = [
    "&a ",
    "*a",
    "<<: ",
    "!x ",
    "!!int ",
    "null",
    "[",
    "]",
    "{",
    "}",
    " ",
    "'",
    '"',
    "- ",
    "---\n",
    "\n",
    "é",
    "\t",
    "3",
    "0.5",
]


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=5)
)
def test_any_damage_is_told_and_never_raised(damage: list[tuple[int, int, str]]) -> None:
    text = WHOLE
    for start, length, piece in damage:
        text = text[:start] + piece + text[start + length :]

    file = load_all(text, source="x.yaml")

    assert all(problem.source == "x.yaml" for problem in [*file.problems, *check_names(file.documents)])


VALUES = st.recursive(
    st.sampled_from([None, True, 3, 0.5, "a", "", "load", "5%"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "spec", "models", "task"]), inner)
    ),
    max_leaves=8,
)
ROOTS = ["kind", "apiVersion", "metadata", "items", "status", "spec", "metadata.name"]
IN_SPEC = ["models", "benchmarks", "defaults", "include", "exclude", "models.0"]
FIELDS = st.sampled_from([*ROOTS, *(f"spec.{field}" for field in IN_SPEC)])


@given(FIELDS, VALUES)
def test_any_value_in_any_place_of_a_campaign_is_told_and_never_raised(field: str, value: Any) -> None:
    data = parse(CAMPAIGN, source="x").documents[0].data
    *above, last = [int(step) if step.isdigit() else step for step in field.split(".")]
    parent = data
    for step in above:
        parent = parent[step]
    parent[last] = value

    file = load_all(json.dumps(data), source="x.yaml")

    assert isinstance(check_names(file.documents), list)
