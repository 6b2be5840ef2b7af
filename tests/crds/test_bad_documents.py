"""Each row breaks a good document in one way; the one problem told names the field and what would be right."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.errors import InvalidDocumentError
from joulebench_api.loading import Loaded, load

SPEC = "spec.server.template.spec"
TEMPLATE_OFF = "spec.server.template=null"
EXTERNAL = "spec.server.external={url: 'http://x/v1', model: m}"
STAGES = "spec.load.stages=[{name: a, rate: 1, requests: 5}]"
OBJECTIVES = "spec.load.objectives=[{metric: TTFT, percentile: 99, max: 1s}]"

# overrides of the shortest run | path of the only problem | part of its text
BAD_FIELDS: list[tuple[list[str], str, str]] = [
    # names of fields, and what is missing
    (["spec.task.nmae=x"], "spec.task.nmae", "unknown field; did you mean 'name'?"),
    (["spec.tsak.limit=3"], "spec.tsak", "did you mean 'task'?"),
    (["spec.qqqqqq=3"], "spec.qqqqqq", "the fields here are agent, concurrency"),
    (["status={}"], "status", "unknown field"),
    (["spec.task.few_shot=3"], "spec.task.few_shot", "did you mean 'fewShot'?"),
    (["spec.cost.electricityPerKwh='0.2'"], "spec.cost.electricityPerKwh", "did you mean 'electricityPerKWh'?"),
    (["spec.task.name=null"], "spec.task.name", "required, but missing"),
    (["spec.task=null"], "spec.task", "required, but missing"),
    (["metadata=null"], "metadata", "required, but missing"),
    ([TEMPLATE_OFF, "spec.server.external.url='http://x/v1'"], "spec.server.external.model", "required, but missing"),
    # kinds of values
    (["spec.task.limit='20'"], "spec.task.limit", "must be a whole number, found '20'; write it without quotes: 20"),
    (["spec.task.limit=2.5"], "spec.task.limit", "must be a whole number, found 2.5"),
    (["spec.task.limit=true"], "spec.task.limit", "must be a whole number, found true"),
    (["spec.task.limit=0"], "spec.task.limit", "must be at least 1, found 0"),
    (["spec.task.split=5"], "spec.task.split", 'must be text, found 5; write it in quotes: "5"'),
    (["spec.task.split=''"], "spec.task.split", "must not be empty"),
    (["spec.task=gsm8k"], "spec.task", "must be an object (fields with values), found 'gsm8k'"),
    (["spec.task.params=[1]"], "spec.task.params", "must be an object"),
    (["spec.task.recordIds=abc"], "spec.task.recordIds", "must be a list, found 'abc'"),
    (["spec.suspend=1"], "spec.suspend", "must be true or false, found 1"),
    (["spec.seed=9223372036854775808"], "spec.seed", "must be at most 9223372036854775807"),
    (["spec.shards=65"], "spec.shards", "must be at most 64, found 65"),
    (["spec.retryLimit=-1"], "spec.retryLimit", "must be at least 0"),
    (["spec.energy.minCoveragePercent=101"], "spec.energy.minCoveragePercent", "must be at most 100"),
    (["spec.generation.topLogprobs=21"], "spec.generation.topLogprobs", "must be at most 20"),
    # enumerations
    (["spec.energy.policy=required"], "spec.energy.policy", "did you mean 'Required'?"),
    (["spec.energy.attribution=Faze"], "spec.energy.attribution", "'Faze' is not one of Phase, Token, Equal"),
    (["spec.energy.domains=[GPU, TPU]"], "spec.energy.domains[1]", "'TPU' is not one of GPU, CPU or DRAM"),
    ([f"{SPEC}.engine=llama.cpp"], f"{SPEC}.engine", "did you mean 'LlamaCpp'?"),
    ([f"{SPEC}.engine={{}}"], f"{SPEC}.engine", "an object is not one of"),
    ([f"{SPEC}.engine=false"], f"{SPEC}.engine", "false is not one of vLLM, SGLang, Ollama, LlamaCpp or Simulator"),
    (["spec.results.artifacts=off"], "spec.results.artifacts", "'off' is not one of All, Failed or None"),
    (["spec.results.redact=All"], "spec.results.redact", "'All' is not one of None or Texts"),
    # decimals, durations, quantities and other texts
    (["spec.generation.temperature=warm"], "spec.generation.temperature", "'warm' is not a decimal number"),
    (["spec.generation.temperature=-1"], "spec.generation.temperature", "-1 is not a decimal number"),
    (["spec.generation.temperature=1e-12"], "spec.generation.temperature", "is not a decimal number"),
    (["spec.generation.topP='1.5'"], "spec.generation.topP", "must be greater than 0 and at most 1, found 1.5"),
    (["spec.cost.pue='0.9'"], "spec.cost.pue", "must be at least 1"),
    (["spec.timeouts.query=2d"], "spec.timeouts.query", "days do not exist in a duration: write 48h"),
    (["spec.timeouts.query=30"], "spec.timeouts.query", "a unit is needed: write 30s"),
    (["spec.timeouts.query=1.5h"], "spec.timeouts.query", "whole numbers with h, m, s or ms"),
    (["spec.timeouts.query=0s"], "spec.timeouts.query", "must be longer than 0"),
    (["spec.maxErrors=-1"], "spec.maxErrors", "neither a number of questions nor a percentage"),
    (["spec.maxErrors=101%"], "spec.maxErrors", "is not a percentage"),
    (["spec.cost.currency=Euro"], "spec.cost.currency", "ISO 4217"),
    (
        ["spec.results.store.claimTemplate.size=10GB"],
        "spec.results.store.claimTemplate.size",
        "write it as 500m, 2 or 10Gi",
    ),
    (["spec.results.store.objectStore.url=bench"], "spec.results.store.objectStore.url", "s3://bucket/folder"),
    (["spec.task.name='inspect:gpqa'"], "spec.task.name", "inspect:package/task"),
    # names and labels
    (["metadata.name=First"], "metadata.name", "use lower-case letters"),
    (["metadata.name=1st"], "metadata.name", "begin with a letter"),
    (["metadata.name=" + "a" * 46], "metadata.name", "has 46 characters, at most 45"),
    (["metadata.namespace=Team A"], "metadata.namespace", "is not a namespace"),
    (["metadata.labels.team=5"], "metadata.labels.team", "must be text, found 5"),
    (["metadata.labels.team=a b"], "metadata.labels.team", "'a b' is not a label value"),
    (['metadata.annotations["/x"]=y'], 'metadata.annotations["/x"]', "is not a key that Kubernetes takes"),
    (["spec.rerunToken=" + "x" * 64], "spec.rerunToken", "has 64 characters, at most 63"),
    # where a model is
    ([TEMPLATE_OFF], "spec.server", "exactly one of modelServerRef, template and external is needed, found none"),
    ([EXTERNAL], "spec.server", "found template and external; keep one of them"),
    (["spec.server.access=Shared"], "spec.server.access", "Shared is allowed only with modelServerRef"),
    (
        [TEMPLATE_OFF, "spec.server.modelServerRef.name=big"],
        "spec.server.modelServerRef.name",
        "no ModelServer named 'big'",
    ),
    (
        [TEMPLATE_OFF, "spec.server.external={url: x, model: m}"],
        "spec.server.external.url",
        "http://127.0.0.1:11434/v1",
    ),
    (
        [TEMPLATE_OFF, "spec.server.external={url: 'http://a:b@x', model: m}"],
        "spec.server.external.url",
        "apiKeySecretRef",
    ),
    (
        [TEMPLATE_OFF, "spec.server.external={url: 'http://x:port', model: m}"],
        "spec.server.external.url",
        "not an address",
    ),
    # a server
    ([f"{SPEC}.preset=small"], SPEC, "exactly one of model and preset may be given, found model and preset"),
    ([f"{SPEC}.model=null"], SPEC, "exactly one of model and preset is needed"),
    ([f"{SPEC}.engine=null"], f"{SPEC}.engine", "required, but missing; add one of vLLM, SGLang"),
    ([f"{SPEC}.engineArgs.api-key=x"], f"{SPEC}.engineArgs.api-key", "use the field apiKeySecretRef"),
    ([f"{SPEC}.engineArgs.ctx-size=99"], f"{SPEC}.engineArgs.ctx-size", "use the field maxModelLen"),
    ([f"{SPEC}.engineArgs.ctx_size=99"], f"{SPEC}.engineArgs.ctx_size", "use the field maxModelLen"),
    ([f"{SPEC}.engineArgs.port=99"], f"{SPEC}.engineArgs.port", "is set by joulebench itself; remove it"),
    ([f"{SPEC}.engineArgs.no-metrics=true"], f"{SPEC}.engineArgs.no-metrics", "is set by joulebench itself"),
    ([f"{SPEC}.engineArgs.--threads=2"], f"{SPEC}.engineArgs.--threads", "write threads"),
    (
        [f"{SPEC}.engine=vLLM", f"{SPEC}.engineArgs.tensor-parallel-size=2"],
        f"{SPEC}.engineArgs.tensor-parallel-size",
        "use the field parallelism.tensor",
    ),
    ([f"{SPEC}.idleTimeout=5m"], f"{SPEC}.idleTimeout", "is allowed only with activation: OnDemand"),
    ([f"{SPEC}.parallelism.nodes=2"], f"{SPEC}.parallelism.nodes", "cannot be spread over 2 nodes"),
    ([f"{SPEC}.parallelism.tensor=0"], f"{SPEC}.parallelism.tensor", "must be at least 1"),
    (
        [f'{SPEC}.resources.limits={{"nvidia.com/gpu": 1}}'],
        f'{SPEC}.resources.limits["nvidia.com/gpu"]',
        "use the field accelerator",
    ),
    (
        [f"{SPEC}.accelerator.resourceName=example.com/npu", f'{SPEC}.resources.limits["example.com/npu"]=1'],
        f'{SPEC}.resources.limits["example.com/npu"]',
        "use the field accelerator",
    ),
    ([f"{SPEC}.cache={{}}"], f"{SPEC}.cache", "exactly one of claim and claimTemplate is needed"),
    ([f"{SPEC}.source={{hub: {{}}, claim: {{name: a}}}}"], f"{SPEC}.source", "found hub and claim"),
    (
        [f"{SPEC}.revision=a", f"{SPEC}.source.hub.revision=b"],
        f"{SPEC}.revision",
        "is also given by source.hub.revision",
    ),
    ([f"{SPEC}.env=[{{name: A, value: 1}}]"], f"{SPEC}.env[0].value", "must be text"),
    ([f"{SPEC}.env=[{{name: A}}, {{name: A}}]"], f"{SPEC}.env[1]", "the name 'A' is used already by entry 0"),
    ([f"{SPEC}.env=[{{name: A, value: a, valueFrom: {{}}}}]"], f"{SPEC}.env[0]", "found value and valueFrom"),
    ([f"{SPEC}.podTemplate.spec.hostNetwork=true"], f"{SPEC}.podTemplate.spec.hostNetwork", "unknown field"),
    (
        [f"{SPEC}.podTemplate.spec.volumes=[{{name: a, emptyDir: {{}}, hostPath: {{}}}}]"],
        f"{SPEC}.podTemplate.spec.volumes[0].hostPath",
        "unknown field",
    ),
    # the task
    (["spec.task.recordIds=[a, b, a]"], "spec.task.recordIds[2]", "the value 'a' is used already by entry 0"),
    (["spec.task.recordIds=[]"], "spec.task.recordIds", "must not be empty"),
    (["spec.task.recordIds=[a]", "spec.task.recordIdsConfigMapRef={name: a, key: b}"], "spec.task", "at most one of"),
    (["spec.task.source={hub: {}, image: {reference: a}}"], "spec.task.source.image", "unknown field"),
    # submodels, judge, agent
    (
        ["spec.submodels=[{name: judge, server: {external: {url: 'http://x', model: a}}}]"],
        "spec.submodels[0].name",
        "'judge' is taken",
    ),
    (["spec.agent.name=react", "spec.agent.maxTurns=0"], "spec.agent.maxTurns", "must be at least 1"),
    (
        ["spec.agent={name: react, tools: [{name: a}]}"],
        "spec.agent.tools[0]",
        "exactly one of builtin and mcp is needed",
    ),
    (
        ["spec.agent={name: react, tools: [{name: a, mcp: {image: i, headersSecretRef: {name: h}}}]}"],
        "spec.agent.tools[0].mcp.headersSecretRef",
        "is allowed only with url",
    ),
    # load
    ([STAGES, "spec.agent.name=react"], "spec", "at most one of agent and load may be given"),
    ([STAGES, "spec.concurrency=3"], "spec.concurrency", "has no meaning with load"),
    ([STAGES, "spec.epochs=2"], "spec.epochs", "has no meaning with load"),
    (
        [STAGES, f"spec.judge={{server: {{{EXTERNAL.removeprefix('spec.server.').replace('=', ': ')}}}}}"],
        "spec.judge",
        "remove judge",
    ),
    ([STAGES, "spec.load.search={min: 1, max: 2}", OBJECTIVES], "spec.load", "found stages and search"),
    (["spec.load.arrival=Poisson"], "spec.load", "exactly one of stages and search is needed"),
    (["spec.load.search={min: 1, max: 2}"], "spec.load.search", "is allowed only with objectives"),
    (["spec.load.search={min: 2, max: '0.5'}", OBJECTIVES], "spec.load.search.max", "0.5 is not above min, which is 2"),
    ([STAGES, "spec.load.burstiness='0.5'"], "spec.load.burstiness", "is allowed only with arrival: Gamma"),
    (["spec.load.stages=[{name: a, rate: 1}]"], "spec.load.stages[0]", "duration and requests is needed"),
    (["spec.load.stages=[{name: a, rate: 0, requests: 1}]"], "spec.load.stages[0].rate", "must be greater than 0"),
    (
        [STAGES, "spec.load.objectives=[{metric: ErrorRate, percentile: 99, max: 1s}]"],
        "spec.load.objectives[0].max",
        "1%",
    ),
    (
        [STAGES, "spec.load.objectives=[{metric: TTFT, percentile: 99, max: 1%}]"],
        "spec.load.objectives[0].max",
        "500ms",
    ),
    (
        [STAGES, "spec.load.objectives=[{metric: TTFT, percentile: 0, max: 1s}]"],
        "spec.load.objectives[0].percentile",
        "at least 1",
    ),
    # energy and results
    (
        [TEMPLATE_OFF, EXTERNAL, "spec.energy.policy=Required"],
        "spec.energy.policy",
        "add spec.server.external.podSelector",
    ),
    (["spec.energy.domains=[CPU, CPU]"], "spec.energy.domains[1]", "the value 'CPU' is used already"),
    (["spec.energy.idleBaseline=off"], "spec.energy.idleBaseline", "'off' is not a duration"),
    (["spec.results.store={}"], "spec.results.store", "exactly one of claim, claimTemplate and objectStore is needed"),
    (["spec.results.exports=[Csv]"], "spec.results.exports[0]", "did you mean 'CSV'?"),
]


@pytest.mark.parametrize(
    ("overrides", "path", "text"), BAD_FIELDS, ids=[f"{row[1]}-{row[0][-1]}"[:80] for row in BAD_FIELDS]
)
def test_a_wrong_field_is_told_with_its_path_and_what_would_be_right(
    overrides: list[str], path: str, text: str, load_run: Callable[..., Loaded]
) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load_run(*overrides)

    assert [problem.path for problem in caught.value.problems] == [path]
    assert text in str(caught.value.problems[0])


RUN = "apiVersion: joulebench.dev/v1alpha1\nkind: BenchmarkRun\nmetadata: {name: a}\n"
GOOD = RUN + "spec: {server: {external: {url: 'http://x/v1', model: m}}, task: {name: t}}\n"

# text | place | part of the message
BAD_TEXTS: list[tuple[str, str, str]] = [
    ("", "x.yaml: ", "holds no BenchmarkRun"),
    ("# nothing\n---\n", "x.yaml: ", "holds no BenchmarkRun"),
    ("- a\n", "x.yaml:1:1", "a document must be an object, found a list"),
    ("hello", "x.yaml:1:1", "a document must be an object, found 'hello'"),
    ("a: b: c\n", "x.yaml:1:5", "not YAML that can be read: mapping values are not allowed here"),
    ("a: [1\nb: 2\n", "x.yaml:2:2", "not YAML that can be read"),
    ("a:\n\tb: 1\n", "x.yaml:2:1", "indent with spaces, not with tabs"),
    ("a: \x00\n", "x.yaml", "a character is not allowed in YAML"),
    ("a: *b\n", "x.yaml:1:4", "undefined alias"),
    ("[" * 5000, "x.yaml", "nested too deeply"),
    (GOOD + "kind: BenchmarkRun\n", "x.yaml:5:1: kind", "given twice, first in line 2; keep one of them"),
    (GOOD.replace("name: t}", "name: t, name: u}"), "x.yaml:4:76: spec.task.name", "given twice, first in line 4"),
    (GOOD.replace("name: t", "name: !secret t"), "x.yaml", "tags such as !secret are not used here"),
    (GOOD.replace("name: t", "name: t, params: {a: .inf}"), "x.yaml", "'.inf' is not a number that can be used here"),
    (GOOD.replace("name: t", "name: t, limit: !!int x"), "x.yaml", "'x' is not a number that can be used here"),
    (GOOD.replace("name: t", f"name: t, limit: {'9' * 5000}"), "x.yaml", "is not a number that can be used here"),
    (GOOD.replace("name: t", "name: t, params: &a {b: *a}"), "x.yaml", "an alias that holds itself"),
    (GOOD.replace("name: t", "name: t, params: {? [a] : 1}"), "x.yaml", "a key must be text"),
    (GOOD.replace("name: t", "name: t, <<: 5"), "x.yaml", "only objects can be merged with <<"),
    (GOOD.replace("BenchmarkRun", "BenchmarkRum"), "x.yaml:2:7: kind", "did you mean 'BenchmarkRun'?"),
    (GOOD.replace("BenchmarkRun", "BenchmarkCampaign"), "x.yaml:2:7: kind", "a campaign makes many runs on a cluster"),
    (GOOD.replace("BenchmarkRun", "Pod"), "x.yaml:2:7: kind", "only BenchmarkRun and ModelServer are read"),
    (GOOD.replace("kind: BenchmarkRun\n", ""), "x.yaml:1:1: kind", "required, but missing"),
    (GOOD.replace("v1alpha1", "v1"), "x.yaml:1:13: apiVersion", "write joulebench.dev/v1alpha1"),
    (GOOD.replace("apiVersion: joulebench.dev/v1alpha1\n", ""), "x.yaml:1:1: apiVersion", "required, but missing"),
    (f"{GOOD}---\n{GOOD}", "x.yaml:6:1", "a second BenchmarkRun; keep one run in a file"),
]


@pytest.mark.parametrize(("text", "place", "message"), BAD_TEXTS, ids=[row[2][:40] for row in BAD_TEXTS])
def test_a_wrong_text_is_told_with_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load(text, source="x.yaml")

    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(place)
    assert message in str(caught.value)


def test_aliases_that_multiply_do_not_fill_the_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )

    with pytest.raises(InvalidDocumentError, match="more than 100,000 values"):
        load(bomb, source="x.yaml")


YAML_MARKS = (
    "&a|*a|<<: |!x |!!int |!!float |!!set |0x|_|.inf|- |? |: |[|]|{|}|  |'|\"|> |---\n|...\n|#|~|é|@|\t|\n|\u2028"
)
TOKENS = st.sampled_from([*YAML_MARKS.split("|"), "| ", "%YAML 1.1\n---\n", "9" * 5000])


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), TOKENS), min_size=1, max_size=4))
def test_any_damage_to_a_file_is_told_as_a_problem(damage: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, token in damage:
        text = text[:start] + token + text[start + length :]

    # Any other exception would fail the test.
    with contextlib.suppress(InvalidDocumentError):
        assert load(text, source="x.yaml").run.kind == "BenchmarkRun"


def test_all_problems_are_told_at_once_in_the_order_of_the_file(run_text: str, server_text: str) -> None:
    server = server_text.replace("engine: vLLM", "engine: VLM").replace("name: big", "name: Big")
    run = run_text.replace("name: gsm8k", "name: gsm8k\n  shards: 0\n  load: {search: {min: 1, max: 2}, bustiness: 3}")

    with pytest.raises(InvalidDocumentError) as caught:
        load(f"{server}---\n{run}", source="x.yaml", overrides=["spec.task.limit=0"])

    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (4, "metadata.name"),
        (6, "spec.engine"),
        (21, "spec.shards"),
        (22, "spec.load.search"),
        (22, "spec.load.bustiness"),
        (None, "spec.task.limit"),
    ]


def test_no_message_shows_the_words_of_a_library_or_a_password() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        load(GOOD.replace("http://x/v1", "http://me:hunter2@x/v1").replace("name: t", "name: [t]"), source="x.yaml")

    assert "pydantic" not in str(caught.value).lower()
    assert "hunter2" not in str(caught.value)
