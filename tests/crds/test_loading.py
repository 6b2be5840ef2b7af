"""Files that are good, and what is known of them."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from joulebench_api.errors import InvalidDocumentError, UnknownNameError
from joulebench_api.loading import Loaded, load, server_spec
from joulebench_api.v1alpha1 import External, ModelServerSpec
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.load import Metric
from joulebench_api.v1alpha1.references import NameRef
from joulebench_api.v1alpha1.server_source import ServerSource

HEAD = "apiVersion: joulebench.dev/v1alpha1\nkind: BenchmarkRun\nmetadata: {name: a}\n"

AGENT = """\
apiVersion: joulebench.dev/v1alpha1
kind: ModelServer
metadata: {name: coder, labels: {team: evals}}
spec:
  engine: vLLM
  model: org/coder-32b
  revision: 0123456789abcdef
  huggingFaceTokenSecretRef: {name: hub}
  parallelism: {tensor: 2}
  accelerator: {profile: a100}
  maxModelLen: 32768
  engineArgs: {gpu-memory-utilization: 0.9, enable-prefix-caching: false}
  cache: {claim: {name: models}}
  activation: OnDemand
  idleTimeout: 20m
---
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: agent-run}
spec:
  server: {modelServerRef: {name: coder}, access: Shared}
  submodels:
  - name: helper
    server: {external: {url: "https://models.example/v1", model: small, apiKeySecretRef: {name: example}}}
  judge:
    server:
      external:
        url: https://judge.example/v1
        model: judge
        apiKeySecretRef: {name: judge-key, key: token}
        tokenPrices: {inputPerMillion: "0.5", outputPerMillion: 3}
    generation: {temperature: 0, maxTokens: 512}
  task:
    name: frames
    subset: short
    limit: 30
    source: {hub: {tokenSecretRef: {name: hub}}}
  agent:
    name: react
    maxTurns: 12
    tools:
    - {name: sums, builtin: calculator}
    - name: find
      mcp: {image: registry.example/find:2, args: [--index, /index]}
  sandbox: {mode: Pod, network: None}
  concurrency: 8
  maxErrors: 5%
  timeouts: {query: 10m}
  energy: {policy: Required}
"""

SEARCH = f"""\
{HEAD}
spec:
  server:
    external:
      url: http://predictor.models.svc:8080/v1
      model: m
      podSelector: {{matchLabels: {{app.kubernetes.io/name: predictor}}}}
  task: {{name: fixed_length, params: {{inputTokens: 512, outputTokens: 64}}}}
  energy: {{policy: Required}}
  load:
    arrival: Gamma
    burstiness: "0.5"
    search: {{min: "0.25", max: 20, stageDuration: 90s}}
    objectives:
    - {{metric: TTFT, percentile: 95, max: 1s500ms}}
    - {{metric: ErrorRate, percentile: 99, max: 0.5%}}
"""

PRESET = f"""\
{HEAD}
spec:
  server: {{template: {{spec: {{preset: smollm2-135m-instruct}}}}}}
  task: {{name: everyday, recordIds: [a, b]}}
"""

LOCAL = f"""\
{HEAD}
spec:
  server: {{external: {{url: "http://127.0.0.1:11434/v1", model: "qwen3:0.6b"}}}}
  task: {{name: "inspect:inspect_evals/gpqa_diamond", params: {{cot: true}}}}
  epochs: 4
  generation: {{stop: ["\\n\\n"], topP: "0.95", reasoningEffort: low, extraBody: {{min_p: 0.1, x: null}}}}
"""


@pytest.mark.parametrize("text", [AGENT, SEARCH, PRESET, LOCAL], ids=["agent", "search", "preset", "local"])
def test_good_documents_load_without_warnings(text: str) -> None:
    assert load(text, source="x.yaml").warnings == []


def test_the_shortest_run_has_the_schema_s_defaults_and_no_others(load_run: Callable[..., Loaded]) -> None:
    spec = load_run().run.spec

    assert (spec.epochs, spec.seed, spec.shards, spec.retry_limit, spec.warmup.queries) == (1, 42, 1, 3, 3)
    assert (spec.timeouts.server_ready.seconds, spec.timeouts.run.seconds) == (3600, 86400)
    assert (spec.concurrency, spec.energy.policy, spec.energy.idle_baseline, spec.results.store) == (None,) * 4
    assert spec.model_dump(exclude_unset=True).keys() == {"server", "task"}


def test_values_keep_their_meaning() -> None:
    judge = load(AGENT, source="x.yaml").run.spec.judge
    assert judge is not None
    assert judge.server.external is not None
    assert judge.server.external.token_prices is not None
    assert judge.server.external.token_prices.input_per_million == Decimal("0.5")
    assert judge.server.external.api_key_secret_ref is not None
    assert judge.server.external.api_key_secret_ref.key == "token"

    search = load(SEARCH, source="x.yaml").run.spec.load
    assert search is not None
    assert search.objectives is not None
    assert [objective.metric for objective in search.objectives] == [Metric.TTFT, Metric.ERROR_RATE]
    assert getattr(search.objectives[0].max, "seconds", None) == 1.5
    assert getattr(search.objectives[1].max, "fraction", None) == 0.005


def test_nulls_are_absent_fields_except_in_open_objects(load_run: Callable[..., Loaded]) -> None:
    assert load_run("spec.task.limit=null").run.spec.task.limit is None
    generation = load(LOCAL, source="x.yaml").run.spec.generation
    assert generation is not None
    assert generation.extra_body == {"min_p": 0.1, "x": None}


@pytest.mark.parametrize("text", [AGENT, SEARCH, PRESET, LOCAL], ids=["agent", "search", "preset", "local"])
def test_what_is_written_reads_back_the_same(text: str) -> None:
    run = load(text, source="x.yaml").run

    written = run.model_dump(mode="json", exclude_unset=True)

    assert type(run).model_validate(written, by_name=False, by_alias=True) == run


def test_a_reference_resolves_to_the_server_in_the_same_file() -> None:
    loaded = load(AGENT, source="x.yaml")

    spec = server_spec(loaded)

    assert isinstance(spec, ModelServerSpec)
    assert (spec.engine, spec.parallelism.tensor) == (Engine.VLLM, 2)


def test_templates_and_external_servers_resolve_to_themselves() -> None:
    template = server_spec(load(PRESET, source="x.yaml"))
    external = server_spec(load(LOCAL, source="x.yaml"))

    assert isinstance(template, ModelServerSpec)
    assert template.preset == "smollm2-135m-instruct"
    assert isinstance(external, External)
    assert external.model == "qwen3:0.6b"


def test_a_source_made_by_hand_that_names_no_server_of_the_file_is_refused() -> None:
    loaded = load(AGENT, source="x.yaml")

    with pytest.raises(UnknownNameError, match="no ModelServer named 'other' in this file \\(there: coder\\)"):
        server_spec(loaded, ServerSource(model_server_ref=NameRef(name="other")))


def test_a_reference_to_no_server_names_the_nearest_one() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load(AGENT.replace("modelServerRef: {name: coder}", "modelServerRef: {name: codr}"), source="x.yaml")

    (problem,) = caught.value.problems
    assert (problem.line, problem.path, problem.value) == (21, "spec.server.modelServerRef.name", "codr")
    assert problem.remedy == "did you mean 'coder'?"


def test_two_servers_of_one_name_are_refused(run_text: str, server_text: str) -> None:
    with pytest.raises(InvalidDocumentError, match=r"x\.yaml:12:9: metadata\.name: a second ModelServer named 'big'"):
        load(f"{server_text}---\n{server_text}---\n{run_text}", source="x.yaml")


def test_a_float_where_a_decimal_belongs_works_here_with_a_warning(run_text: str) -> None:
    loaded = load(f"{run_text}  generation:\n    temperature: 0.70\n", source="x.yaml")

    assert loaded.run.spec.generation is not None
    assert loaded.run.spec.generation.temperature == Decimal("0.7")
    assert [str(warning) for warning in loaded.warnings] == [
        'x.yaml:14:18: spec.generation.temperature: a cluster refuses 0.7 without quotes; write "0.7"'
    ]


def test_a_float_in_an_open_object_is_nothing_to_warn_of(run_text: str) -> None:
    assert load(f"{run_text}    params: {{ratio: 0.5}}\n", source="x.yaml").warnings == []


def test_a_word_that_a_cluster_reads_as_a_truth_value_is_warned_of(run_text: str) -> None:
    (warning,) = load(f"{run_text}    split: no\n", source="x.yaml").warnings

    assert (
        str(warning)
        == "x.yaml:13:12: spec.task.split: a cluster reads no without quotes as false; write 'no' in quotes"
    )


def test_numbers_are_read_as_in_yaml_1_2(run_text: str) -> None:
    params = load(f"{run_text}    params: {{a: 0o17, b: 0x1F, c: 012, d: 1e3, e: 2024-01-31}}\n", source="x.yaml").run

    assert params.spec.task.params == {"a": 15, "b": 31, "c": 12, "d": 1000.0, "e": "2024-01-31"}


def test_anchors_and_merged_objects_are_read(run_text: str) -> None:
    text = f"{run_text}    params:\n      base: &base {{a: 1, b: 2}}\n      more: {{<<: *base, b: 3}}\n"

    assert load(text, source="x.yaml").run.spec.task.params["more"] == {"a": 1, "b": 3}


def test_a_wrong_value_is_shown_at_its_value_and_a_wrong_name_at_its_key(run_text: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load(f"{run_text}    limt: 5\n    subset: 7\n", source="examples/x.yaml")

    assert [str(problem) for problem in caught.value.problems] == [
        "examples/x.yaml:13:5: spec.task.limt: unknown field; did you mean 'limit'?",
        'examples/x.yaml:14:13: spec.task.subset: must be text, found 7; write it in quotes: "7"',
    ]


def test_objects_made_in_python_obey_the_same_rules() -> None:
    with pytest.raises(ValueError, match="exactly one of model and preset"):
        ModelServerSpec(engine=Engine.VLLM)
