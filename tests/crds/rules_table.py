"""Objects that are good or bad, and why: pure data, judged by the models, by the CRDs' rules, and by real API servers.

A row says what must come out. Where the models and the API server differ on purpose, `why` says so.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

Object = dict[str, Any]
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One object (or one change from `old` to `object`), and whether it must be accepted."""

    id: str
    object: Object
    good: bool
    old: Object | None = None
    python_good: bool | None = None
    """What the models say, where that is not what the API server says; `why` says why."""
    why: str = ""
    needs_server: bool = False
    """Only a real API server can judge this row; an evaluator without one cannot."""

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.object["kind"])


def changed(base: Object, changes: Changes) -> Object:
    """A copy with values set at dotted paths; `None` removes, a number is a list's index."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = result
        for step in parents:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if value is None:
            place.pop(last, None)
        else:
            place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return result


_API = "joulebench.dev/v1alpha1"
EXTERNAL: Object = {"external": {"url": "http://x.example/v1", "model": "m"}}
TEMPLATE: Object = {"template": {"spec": {"engine": "vLLM", "model": "org/small"}}}
RUN: Object = {
    "apiVersion": _API,
    "kind": "BenchmarkRun",
    "metadata": {"name": "first"},
    "spec": {"server": TEMPLATE, "task": {"name": "gsm8k"}},
}
SERVER: Object = {
    "apiVersion": _API,
    "kind": "ModelServer",
    "metadata": {"name": "big"},
    "spec": {"engine": "vLLM", "model": "org/big"},
}
CAMPAIGN: Object = {
    "apiVersion": _API,
    "kind": "BenchmarkCampaign",
    "metadata": {"name": "nightly"},
    "spec": {
        "models": [{"name": "small", "server": TEMPLATE}],
        "benchmarks": [{"name": "gsm8k", "task": {"name": "gsm8k"}}],
    },
}
BASES = {"run": RUN, "server": SERVER, "campaign": CAMPAIGN}

STAGE: Object = {"name": "a", "rate": 1, "requests": 5}
STAGES: Object = {"stages": [STAGE]}
OBJECTIVE: Object = {"metric": "TTFT", "percentile": 99, "max": "500ms"}
SEARCH: Object = {"search": {"min": "0.5", "max": 40}, "objectives": [OBJECTIVE]}
AGENT: Object = {"name": "react"}
TOOL_AGENT: Object = {"name": "react", "tools": [{"name": "t"}]}

# --- Rules that are no unions: base | changes | good? ---------------------------------------------------------------

_LONG = "a" * 1024
_RULES: list[tuple[str, Changes, bool]] = [
    # the shortest of each kind, and names
    ("run", {}, True),
    ("server", {}, True),
    ("campaign", {}, True),
    ("run", {"metadata.name": "a" * 45}, True),
    ("run", {"metadata.name": "a" * 46}, False),
    ("run", {"metadata.name": "1st"}, False),
    ("run", {"metadata.name": "a-"}, False),
    ("server", {"metadata.name": "a" * 45}, True),
    ("server", {"metadata.name": "a" * 46}, False),
    ("server", {"metadata.name": "a.b"}, False),
    ("campaign", {"metadata.name": "a" * 27}, True),
    ("campaign", {"metadata.name": "a" * 28}, False),
    # unknown and missing fields, wrong kinds of values
    ("run", {"spec.task.nmae": "x"}, False),
    ("run", {"spec.qqq": 1}, False),
    ("run", {"spec.task": None}, False),
    ("run", {"spec.server": None}, False),
    ("run", {"spec": None}, False),
    ("run", {"spec.task.limit": "20"}, False),
    ("run", {"spec.task.limit": True}, False),
    ("run", {"spec.task.limit": 2.5}, False),
    ("run", {"spec.suspend": "false"}, False),
    ("run", {"spec.task.params": [1]}, False),
    ("run", {"spec.task.params": {"any": {"thing": [1, "a", 0.5]}}}, True),
    ("server", {"spec.engine": "llama.cpp"}, False),
    ("campaign", {"spec.models": None}, False),
    ("campaign", {"spec.benchmarks": []}, False),
    ("campaign", {"spec.models.0.server": None}, False),
    ("campaign", {"spec.benchmarks.0.task": None}, False),
    # a server
    ("server", {"spec.engine": None}, False),
    ("server", {"spec.engine": None, "spec.model": None, "spec.preset": "small"}, True),
    ("server", {"spec.model": None, "spec.preset": "small"}, True),
    ("server", {"spec.engineArgs": {"gpu-memory-utilization": 0.92, "enable-prefix-caching": True}}, True),
    ("server", {"spec.engineArgs": {"host": "0.0.0.0"}}, False),
    ("server", {"spec.engineArgs": {"port": 80}}, False),
    ("server", {"spec.engineArgs": {"model": "other"}}, False),
    ("server", {"spec.engineArgs": {"served-model-name": "x"}}, False),
    ("server", {"spec.engineArgs": {"served_model_name": "x"}}, False),
    ("server", {"spec.engineArgs": {"api-key": "x"}}, False),
    ("server", {"spec.engineArgs": {"tensor-parallel-size": 2}}, False),
    ("server", {"spec.engineArgs": {"tensor_parallel_size": 2}}, False),
    ("server", {"spec.engineArgs": {"max-model-len": 2}}, False),
    ("server", {"spec.engineArgs": {"ctx-size": 2}}, True),
    ("server", {"spec.engine": "LlamaCpp", "spec.engineArgs": {"ctx-size": 2}}, False),
    ("server", {"spec.engine": "LlamaCpp", "spec.engineArgs": {"no-webui": "true"}}, False),
    ("server", {"spec.engine": "LlamaCpp", "spec.engineArgs": {"metrics": True}}, False),
    ("server", {"spec.engine": "LlamaCpp", "spec.engineArgs": {"threads": 4}}, True),
    ("server", {"spec.engine": "SGLang", "spec.engineArgs": {"context-length": 2}}, False),
    ("server", {"spec.engine": "SGLang", "spec.engineArgs": {"mem-fraction-static": "0.9"}}, True),
    ("server", {"spec.engine": "Simulator", "spec.engineArgs": {"max-model-len": 2}}, False),
    ("server", {"spec.engine": "Ollama", "spec.engineArgs": {"max-model-len": 2}}, True),
    ("server", {"spec.engine": "Ollama", "spec.engineArgs": {"port": 2}}, False),
    ("server", {"spec.resources": {"limits": {"cpu": 4, "memory": "16Gi"}}}, True),
    ("server", {"spec.resources": {"limits": {"nvidia.com/gpu": 1}}}, False),
    ("server", {"spec.resources": {"requests": {"nvidia.com/mig-1g.10gb": 1}}}, False),
    ("server", {"spec.resources": {"requests": {"amd.com/gpu": 1}}}, False),
    ("server", {"spec.resources": {"requests": {"example.com/npu": 1}}}, True),
    (
        "server",
        {
            "spec.accelerator": {"resourceName": "example.com/npu"},
            "spec.resources": {"requests": {"example.com/npu": 1}},
        },
        False,
    ),
    ("server", {"spec.resources": {"limits": {"cpu": "-1"}}}, False),
    ("server", {"spec.resources": {"limits": {"cpu": -1}}}, False),
    ("server", {"spec.activation": "OnDemand", "spec.idleTimeout": "15m"}, True),
    ("server", {"spec.idleTimeout": "15m"}, False),
    ("server", {"spec.activation": "Always", "spec.idleTimeout": "15m"}, False),
    ("server", {"spec.activation": "OnDemand", "spec.idleTimeout": "0s"}, False),
    ("server", {"spec.revision": "a"}, True),
    ("server", {"spec.source": {"hub": {"revision": "a"}}}, True),
    ("server", {"spec.revision": "a", "spec.source": {"hub": {"revision": "b"}}}, False),
    ("server", {"spec.revision": "a", "spec.source": {"hub": {}}}, True),
    ("server", {"spec.parallelism": {"tensor": 4, "nodes": 2}}, True),
    ("server", {"spec.parallelism": {"tensor": 3, "nodes": 2}}, False),
    ("server", {"spec.parallelism": {"nodes": 2}}, False),
    ("server", {"spec.podTemplate": {"spec": {"hostNetwork": True}}}, False),
    ("server", {"spec.podTemplate": {"spec": {"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {}}]}}}, False),
    ("server", {"spec.env": [{"name": "A"}, {"name": "A"}]}, False),
    ("server", {"spec.env": [{"name": "A"}, {"name": "B", "value": "b"}]}, True),
    ("server", {"spec.accelerator": {"products": ["a", "b"]}}, True),
    ("server", {"spec.accelerator": {"products": ["a", "a"]}}, False),
    ("server", {"spec.placement.tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}, True),
    ("server", {"spec.placement.tolerations": [{"key": "a", "operator": "Is"}]}, False),
    ("server", {"spec.placement.tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]}, True),
    ("server", {"spec.podTemplate.container.volumeMounts": [{"name": "a", "mountPath": "/a"}]}, True),
    ("server", {"spec.podTemplate.container.volumeMounts": [{"name": "a"}]}, False),
    # where a model is
    ("run", {"spec.server": {"modelServerRef": {"name": "big"}, "access": "Shared"}}, True),
    ("run", {"spec.server": TEMPLATE | {"access": "Shared"}}, False),
    ("run", {"spec.server": EXTERNAL | {"access": "Shared"}}, False),
    ("run", {"spec.server": EXTERNAL | {"access": "Exclusive"}}, True),
    ("run", {"spec.server": EXTERNAL, "spec.server.external.url": "x"}, False),
    ("run", {"spec.server": EXTERNAL, "spec.server.external.url": "ftp://x"}, False),
    ("run", {"spec.server": EXTERNAL, "spec.server.external.url": "http://me:secret@x/v1"}, False),
    ("run", {"spec.server": EXTERNAL, "spec.server.external.url": "https://[::1]:8080/v1?a=b"}, True),
    ("run", {"spec.server": EXTERNAL, "spec.server.external.model": None}, False),
    ("run", {"spec.server": EXTERNAL, "spec.server.external.podSelector": {"matchLabels": {}}}, False),
    ("run", {"spec.server.template.spec.idleTimeout": "1m"}, False),
    ("run", {"spec.server.template.spec.engine": None}, False),
    # required energy
    ("run", {"spec.energy.policy": "Required"}, True),
    ("run", {"spec.energy.policy": "Required", "spec.server": EXTERNAL}, False),
    ("run", {"spec.energy.policy": "Preferred", "spec.server": EXTERNAL}, True),
    (
        "run",
        {
            "spec.energy.policy": "Required",
            "spec.server": EXTERNAL,
            "spec.server.external.podSelector": {"matchLabels": {"a": "b"}},
        },
        True,
    ),
    ("run", {"spec.energy.domains": ["GPU", "CPU"]}, True),
    ("run", {"spec.energy.domains": ["CPU", "CPU"]}, False),
    ("run", {"spec.energy.domains": []}, False),
    ("run", {"spec.energy.domains": ["TPU"]}, False),
    # submodels and judge
    ("run", {"spec.submodels": [{"name": "critic", "server": EXTERNAL}]}, True),
    ("run", {"spec.submodels": [{"name": "model", "server": EXTERNAL}]}, False),
    ("run", {"spec.submodels": [{"name": "judge", "server": EXTERNAL}]}, False),
    ("run", {"spec.submodels": [{"name": "grader", "server": EXTERNAL}]}, False),
    ("run", {"spec.submodels": [{"name": "a", "server": EXTERNAL}, {"name": "a", "server": EXTERNAL}]}, False),
    ("run", {"spec.judge": {"server": TEMPLATE, "generation": {"temperature": 0}}}, True),
    ("run", {"spec.judge": {}}, False),
    # load
    ("run", {"spec.load": STAGES}, True),
    ("run", {"spec.load": STAGES, "spec.concurrency": 3}, False),
    ("run", {"spec.load": STAGES, "spec.epochs": 2}, False),
    ("run", {"spec.load": STAGES, "spec.epochs": 1}, True),
    ("run", {"spec.load": STAGES, "spec.judge": {"server": EXTERNAL}}, False),
    ("run", {"spec.load": STAGES | {"burstiness": "0.5"}}, False),
    ("run", {"spec.load": STAGES | {"burstiness": "0.5", "arrival": "Constant"}}, False),
    ("run", {"spec.load": STAGES | {"burstiness": "0.5", "arrival": "Gamma"}}, True),
    ("run", {"spec.load": SEARCH}, True),
    ("run", {"spec.load": {"search": {"min": 1, "max": 2}}}, False),
    ("run", {"spec.load": SEARCH, "spec.load.search.max": "0.5"}, False),
    ("run", {"spec.load": SEARCH, "spec.load.search.max": "0.51"}, True),
    ("run", {"spec.load": SEARCH, "spec.load.search.min": 41}, False),
    ("run", {"spec.load": SEARCH, "spec.load.objectives": [OBJECTIVE, OBJECTIVE]}, False),
    ("run", {"spec.load": SEARCH, "spec.load.objectives": [OBJECTIVE, OBJECTIVE | {"percentile": 50}]}, True),
    ("run", {"spec.load": SEARCH, "spec.load.objectives.0.max": "1%"}, False),
    ("run", {"spec.load": SEARCH, "spec.load.objectives.0.metric": "ErrorRate"}, False),
    ("run", {"spec.load": SEARCH, "spec.load.objectives.0": OBJECTIVE | {"metric": "ErrorRate", "max": "1%"}}, True),
    ("run", {"spec.load": SEARCH, "spec.load.objectives": []}, False),
    ("run", {"spec.load": {"stages": []}}, False),
    ("run", {"spec.load": {"stages": [STAGE, STAGE]}}, False),
    # agent and tools
    ("run", {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {"image": "i", "args": ["-v"]}}, True),
    ("run", {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {"url": "http://x", "args": ["-v"]}}, False),
    ("run", {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {"url": "http://x", "env": [{"name": "A"}]}}, False),
    ("run", {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {"image": "i", "env": [{"name": "A"}]}}, True),
    (
        "run",
        {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {"image": "i", "headersSecretRef": {"name": "h"}}},
        False,
    ),
    (
        "run",
        {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {"url": "http://x", "headersSecretRef": {"name": "h"}}},
        True,
    ),
    # the task
    ("run", {"spec.task.name": "inspect:package/task"}, True),
    ("run", {"spec.task.name": "inspect:package"}, False),
    ("run", {"spec.task.name": "a b"}, False),
    ("run", {"spec.task.recordIds": ["a", "a"]}, False),
    ("run", {"spec.task.source": {"hub": {}, "image": {"reference": "a"}}}, False),
    # decimals
    ("run", {"spec.generation.temperature": 0}, True),
    ("run", {"spec.generation.temperature": "0.7"}, True),
    ("run", {"spec.generation.temperature": -1}, False),
    ("run", {"spec.generation.temperature": "-1"}, False),
    ("run", {"spec.generation.temperature": "1e3"}, False),
    ("run", {"spec.generation.temperature": "warm"}, False),
    ("run", {"spec.generation.temperature": 999999999999}, True),
    ("run", {"spec.generation.temperature": 1000000000000}, False),
    ("run", {"spec.generation.temperature": "0.123456789"}, True),
    ("run", {"spec.generation.temperature": "0.1234567890"}, False),
    ("run", {"spec.generation.topP": 1}, True),
    ("run", {"spec.generation.topP": "1.0"}, True),
    ("run", {"spec.generation.topP": "0.001"}, True),
    ("run", {"spec.generation.topP": 0}, False),
    ("run", {"spec.generation.topP": "0.0"}, False),
    ("run", {"spec.generation.topP": "1.001"}, False),
    ("run", {"spec.generation.topP": 2}, False),
    ("run", {"spec.cost.pue": 1}, True),
    ("run", {"spec.cost.pue": "1.0"}, True),
    ("run", {"spec.cost.pue": "10"}, True),
    ("run", {"spec.cost.pue": "0.99"}, False),
    ("run", {"spec.cost.pue": 0}, False),
    ("run", {"spec.load": STAGES, "spec.load.stages.0.rate": 0}, False),
    ("run", {"spec.load": STAGES, "spec.load.stages.0.rate": "0.0"}, False),
    ("run", {"spec.load": STAGES, "spec.load.stages.0.rate": "0.001"}, True),
    # durations, percentages, quantities and other texts
    ("run", {"spec.timeouts.query": "1h30m"}, True),
    ("run", {"spec.timeouts.query": "1ms"}, True),
    ("run", {"spec.timeouts.query": "0h0m"}, False),
    ("run", {"spec.timeouts.query": "2d"}, False),
    ("run", {"spec.timeouts.query": 30}, False),
    ("run", {"spec.timeouts.query": "1.5h"}, False),
    ("run", {"spec.timeouts.run": "99999h"}, True),
    ("run", {"spec.timeouts.run": "100000h"}, False),
    ("run", {"spec.energy.idleBaseline": "0s"}, True),
    ("run", {"spec.ttlAfterFinished": "168h"}, True),
    ("run", {"spec.maxErrors": 0}, True),
    ("run", {"spec.maxErrors": "5%"}, True),
    ("run", {"spec.maxErrors": "100%"}, True),
    ("run", {"spec.maxErrors": "101%"}, False),
    ("run", {"spec.maxErrors": -1}, False),
    ("run", {"spec.maxErrors": "5"}, False),
    ("run", {"spec.cost.currency": "EUR"}, True),
    ("run", {"spec.cost.currency": "Euro"}, False),
    ("run", {"spec.results.store": {"claimTemplate": {"size": "10Gi"}}}, True),
    ("run", {"spec.results.store": {"claimTemplate": {"size": 10}}}, True),
    ("run", {"spec.results.store": {"claimTemplate": {"size": "10GB"}}}, False),
    ("run", {"spec.results.store": {"objectStore": {"url": "bench"}}}, False),
    ("run", {"spec.results.exports": ["CSV", "HFDataset"]}, True),
    ("run", {"spec.results.exports": ["CSV", "CSV"]}, False),
    ("run", {"spec.results.exports": ["Csv"]}, False),
    ("server", {"spec.model": ""}, False),
    # overlays and variants of campaigns
    ("campaign", {"spec.defaults": {"taskLimit": 200, "concurrency": 16, "energy": {"policy": "Required"}}}, True),
    ("campaign", {"spec.defaults": {"suspend": True}}, False),
    ("campaign", {"spec.defaults": {"server": TEMPLATE}}, False),
    ("campaign", {"spec.defaults": {"task": {"name": "x"}}}, False),
    ("campaign", {"spec.defaults": {"judge": {"server": TEMPLATE}}}, False),
    ("campaign", {"spec.defaults": {"judge": {"server": EXTERNAL}}}, True),
    ("campaign", {"spec.defaults": {"judge": {"generation": {"temperature": 0}}}}, True),
    ("campaign", {"spec.defaults": {"results": {"store": {"claim": {"path": "a"}}}}}, True),
    ("campaign", {"spec.defaults": {"load": {"burstiness": 2}}}, True),
    ("campaign", {"spec.defaults": {"submodels": [{"name": "a"}]}}, False),
    ("campaign", {"spec.defaults": {"load": STAGES | SEARCH}}, False),
    ("campaign", {"spec.defaults": {"submodels": [{"name": "a", "server": EXTERNAL}]}}, True),
    ("campaign", {"spec.defaults": {"submodels": [{"name": "a", "server": {}}]}}, False),
    (
        "campaign",
        {"spec.defaults": {"submodels": [{"name": "a", "server": EXTERNAL | {"modelServerRef": {"name": "a"}}}]}},
        False,
    ),
    ("campaign", {"spec.benchmarks.0.epochs": 4}, True),
    ("campaign", {"spec.benchmarks.0.epochs": 0}, False),
    ("campaign", {"spec.models.0.variants": [{"name": "apc", "engineArgs": {"enable-prefix-caching": True}}]}, True),
    ("campaign", {"spec.models.0.variants": [{"engineArgs": {"a": True}}]}, False),
    ("campaign", {"spec.models.0.variants": [{"name": "a"}, {"name": "a"}]}, False),
    ("campaign", {"spec.models.0.variants": [{"name": "a", "engine": "vLLM"}]}, False),
    (
        "campaign",
        {"spec.models.0": {"name": "m", "server": EXTERNAL, "variants": [{"name": "a", "replicas": 2}]}},
        False,
    ),
    (
        "campaign",
        {
            "spec.models.0": {
                "name": "m",
                "server": EXTERNAL,
                "variants": [{"name": "a", "generation": {"temperature": 0}}],
            }
        },
        True,
    ),
    ("campaign", {"spec.models.0.name": "Qwen"}, False),
    ("campaign", {"spec.models.0.name": "llama-3.1-8b"}, True),
    ("campaign", {"spec.models": [{"name": "a", "server": TEMPLATE}, {"name": "a", "server": TEMPLATE}]}, False),
    ("campaign", {"spec.include": [{"name": "x", "model": "small", "benchmark": "gsm8k", "epochs": 2}]}, True),
    ("campaign", {"spec.include": [{"name": "x", "model": "smal", "benchmark": "gsm8k"}]}, False),
    ("campaign", {"spec.include": [{"name": "x", "model": "small", "benchmark": "gsm"}]}, False),
    ("campaign", {"spec.exclude": [{"models": ["small"], "benchmarks": ["gsm8k"]}]}, True),
    ("campaign", {"spec.exclude": [{}]}, False),
    ("campaign", {"spec.exclude": [{"models": []}]}, False),
    # schedules of campaigns
    ("campaign", {"spec.schedule": "0 2 * * *", "spec.timeZone": "Europe/Zurich"}, True),
    ("campaign", {"spec.schedule": "*/15 0-6,22 1 JAN-MAR Mon"}, True),
    ("campaign", {"spec.schedule": "@daily"}, True),
    ("campaign", {"spec.schedule": "0 2 * *"}, False),
    ("campaign", {"spec.schedule": "tomorrow"}, False),
    ("campaign", {"spec.timeZone": "Europe/Zurich"}, False),
    ("campaign", {"spec.schedule": "@daily", "spec.timeZone": "Europe/Zuerich"}, False),
    ("campaign", {"spec.startingDeadline": "1h"}, False),
    ("campaign", {"spec.schedule": "@daily", "spec.startingDeadline": "1h"}, True),
    ("campaign", {"spec.history": {"successful": 1}}, False),
    ("campaign", {"spec.schedule": "@daily", "spec.history": {"successful": 0, "failed": 1}}, True),
]

# --- Unions: base | changes that make room | path | samples by member | must one be there? --------------------------

_CLAIM = [{"name": "a"}, {"name": "a", "path": "b"}]
_OBJECT_STORE = [{"url": "s3://bench/a"}, {"url": "s3://bench", "endpoint": "https://minio.example", "region": "r"}]
_HUB = [{}, {"endpoint": "https://hub.example", "revision": "a", "tokenSecretRef": {"name": "hf"}}]
_CONFIG_MAP = [{"name": "a"}, {"name": "b"}]
_TEMPLATES = [
    {"spec": {"engine": "vLLM", "model": "m"}},
    {"metadata": {"labels": {"a": "b"}}, "spec": {"preset": "p"}},
]
_EXTERNALS = [{"url": "http://x", "model": "m"}, {"url": "https://x/v1", "model": "m", "tokenPrices": {}}]
_CLAIM_TEMPLATES = [{"size": "1Gi"}, {"size": 5, "storageClassName": "a", "accessModes": ["ReadWriteMany"]}]


@dataclass(frozen=True)
class Union:
    """A union somewhere in an object, with two samples of each member."""

    base: str
    room: Changes
    path: str
    samples: Mapping[str, list[Any]]
    needed: bool = True


_KEY = [{"name": "a", "key": "b"}, {"name": "a", "key": "b", "optional": True}]

UNIONS = (
    Union(
        "server",
        {"spec.env": [{"name": "A", "valueFrom": {}}]},
        "spec.env.0.valueFrom",
        {
            "configMapKeyRef": _KEY,
            "secretKeyRef": _KEY,
            "fieldRef": [{"fieldPath": "spec.nodeName"}, {"apiVersion": "v1", "fieldPath": "status.hostIP"}],
            "resourceFieldRef": [{"resource": "limits.cpu"}, {"resource": "limits.memory", "divisor": "1Mi"}],
        },
        needed=False,
    ),
    Union(
        "server",
        {"spec.podTemplate.container.envFrom": [{}]},
        "spec.podTemplate.container.envFrom.0",
        {"configMapRef": _CONFIG_MAP, "secretRef": _CONFIG_MAP},
    ),
    Union(
        "run",
        {},
        "spec.server",
        {"modelServerRef": [{"name": "a"}, {"name": "b"}], "template": _TEMPLATES, "external": _EXTERNALS},
    ),
    Union(
        "run",
        {},
        "spec.task.source",
        {"hub": _HUB, "claim": _CLAIM, "objectStore": _OBJECT_STORE, "configMap": _CONFIG_MAP},
    ),
    Union(
        "server",
        {},
        "spec.source",
        {
            "hub": _HUB,
            "claim": _CLAIM,
            "objectStore": _OBJECT_STORE,
            "configMap": _CONFIG_MAP,
            "image": [{"reference": "a"}, {"reference": "b:1"}],
        },
    ),
    Union("server", {}, "spec.cache", {"claim": _CLAIM, "claimTemplate": _CLAIM_TEMPLATES}),
    Union(
        "run",
        {},
        "spec.results.store",
        {"claim": _CLAIM, "claimTemplate": _CLAIM_TEMPLATES, "objectStore": _OBJECT_STORE},
    ),
    Union("server", {"spec.model": None}, "spec", {"model": ["a", "b"], "preset": ["a", "b"]}),
    Union(
        "run",
        {},
        "spec.task",
        {
            "recordIds": [["a"], ["a", "b"]],
            "recordIdsConfigMapRef": [{"name": "a", "key": "b"}, {"name": "c", "key": "d"}],
        },
        needed=False,
    ),
    Union(
        "run",
        {},
        "spec",
        {"agent": [AGENT, {"name": "react", "maxTurns": 3}], "load": [STAGES, SEARCH]},
        needed=False,
    ),
    Union(
        "run",
        {"spec.agent": TOOL_AGENT},
        "spec.agent.tools.0",
        {"builtin": ["calculator", "search"], "mcp": [{"url": "http://x"}, {"image": "i"}]},
    ),
    Union(
        "run",
        {"spec.agent": TOOL_AGENT, "spec.agent.tools.0.mcp": {}},
        "spec.agent.tools.0.mcp",
        {"url": ["http://x", "https://y/z"], "image": ["a", "b:1"]},
    ),
    Union(
        "run",
        {"spec.load": {"objectives": [OBJECTIVE]}},
        "spec.load",
        {"stages": [[STAGE], [STAGE, STAGE | {"name": "b"}]], "search": [{"min": 1, "max": 2}, SEARCH["search"]]},
    ),
    Union(
        "run",
        {"spec.load": STAGES, "spec.load.stages.0.rate": None},
        "spec.load.stages.0",
        {"rate": [1, "0.5"], "concurrency": [1, 64]},
    ),
    Union(
        "run",
        {"spec.load": STAGES, "spec.load.stages.0.requests": None},
        "spec.load.stages.0",
        {"duration": ["1m", "30s"], "requests": [1, 1000]},
    ),
    Union(
        "server",
        {"spec.env": [{"name": "A"}]},
        "spec.env.0",
        {
            "value": ["a", ""],
            "valueFrom": [{"fieldRef": {"fieldPath": "spec.nodeName"}}, {"secretKeyRef": {"name": "a", "key": "b"}}],
        },
        needed=False,
    ),
    Union(
        "server",
        {"spec.podTemplate": {"spec": {"volumes": [{"name": "v"}]}}},
        "spec.podTemplate.spec.volumes.0",
        {
            "configMap": [{"name": "a"}, {"name": "b"}],
            "secret": [{"secretName": "a"}, {"secretName": "b"}],
            "emptyDir": [{}, {"medium": "Memory"}],
            "persistentVolumeClaim": [{"claimName": "a"}, {"claimName": "b"}],
            "csi": [{"driver": "a"}, {"driver": "b"}],
            "image": [{"reference": "a"}, {"reference": "b"}],
        },
    ),
    # In an overlay a union may be left to another layer.
    Union(
        "campaign",
        {"spec.defaults": {"judge": {"server": {}}}},
        "spec.defaults.judge.server",
        {"modelServerRef": [{"name": "a"}, {"name": "b"}], "external": _EXTERNALS},
        needed=False,
    ),
    Union(
        "campaign",
        {"spec.defaults": {"results": {"store": {}}}},
        "spec.defaults.results.store",
        {"claim": _CLAIM, "claimTemplate": _CLAIM_TEMPLATES, "objectStore": _OBJECT_STORE},
        needed=False,
    ),
    Union(
        "campaign",
        {},
        "spec.benchmarks.0",
        {"agent": [AGENT, {"name": "react", "maxTurns": 3}], "load": [STAGES, SEARCH]},
        needed=False,
    ),
)

# --- Bounds: base | changes that make room | path | values that are just inside | values that are just outside ------

INT32_MAX = 2**31 - 1
BOUNDS: list[tuple[str, Changes, str, list[Any], list[Any]]] = [
    ("run", {}, "spec.task.limit", [1, INT32_MAX], [0, INT32_MAX + 1]),
    ("run", {}, "spec.task.fewShot", [0], [-1]),
    ("run", {}, "spec.task.recordIds", [["a"], [str(n) for n in range(1000)]], [[], [str(n) for n in range(1001)]]),
    ("run", {}, "spec.task.subset", ["a", _LONG], ["", _LONG + "a"]),
    ("run", {}, "spec.concurrency", [1, INT32_MAX], [0, INT32_MAX + 1]),
    ("run", {}, "spec.epochs", [1], [0]),
    ("run", {}, "spec.seed", [-(2**63), 2**63 - 1], []),
    ("run", {}, "spec.shards", [1, 64], [0, 65]),
    ("run", {}, "spec.retryLimit", [0], [-1]),
    ("run", {}, "spec.warmup.queries", [0], [-1]),
    ("run", {}, "spec.rerunToken", ["a", "a" * 63], ["", "a" * 64]),
    ("run", {}, "spec.energy.minCoveragePercent", [0, 100], [-1, 101]),
    ("run", {}, "spec.generation.maxTokens", [1], [0]),
    ("run", {}, "spec.generation.topLogprobs", [0, 20], [-1, 21]),
    ("run", {}, "spec.generation.systemPrompt", ["", "a" * 65_536], ["a" * 65_537]),
    ("run", {"spec.agent": AGENT}, "spec.agent.maxTurns", [1], [0]),
    (
        "run",
        {"spec.agent": AGENT},
        "spec.agent.tools",
        [[{"name": str(n), "builtin": "b"} for n in range(32)]],
        [[{"name": str(n), "builtin": "b"} for n in range(33)]],
    ),
    ("run", {}, "spec.sandbox.maxConcurrent", [1], [0]),
    (
        "run",
        {},
        "spec.submodels",
        [[{"name": f"s{n}", "server": EXTERNAL} for n in range(8)]],
        [[{"name": f"s{n}", "server": EXTERNAL} for n in range(9)]],
    ),
    (
        "run",
        {"spec.submodels": [{"name": "a", "server": EXTERNAL}]},
        "spec.submodels.0.name",
        ["a", "a" * 15],
        ["", "a" * 16, "A"],
    ),
    ("run", {"spec.load": SEARCH}, "spec.load.search.tolerancePercent", [1, 100], [0, 101]),
    ("run", {"spec.load": SEARCH}, "spec.load.objectives.0.percentile", [1, 100], [0, 101]),
    (
        "run",
        {"spec.load": STAGES},
        "spec.load.stages",
        [[STAGE | {"name": f"s{n}"} for n in range(64)]],
        [[STAGE | {"name": f"s{n}"} for n in range(65)]],
    ),
    (
        "run",
        {"spec.load": SEARCH},
        "spec.load.objectives",
        [[OBJECTIVE | {"percentile": n} for n in range(1, 17)]],
        [[OBJECTIVE | {"percentile": n} for n in range(1, 18)]],
    ),
    ("run", {"spec.load": STAGES}, "spec.load.stages.0.name", ["a", "a" * 63], ["", "a" * 64, "1"]),
    ("run", {"spec.load": STAGES}, "spec.load.stages.0.requests", [1], [0]),
    ("run", {"spec.load": {"stages": [{"name": "a", "requests": 1}]}}, "spec.load.stages.0.concurrency", [1], [0]),
    ("server", {}, "spec.replicas", [0, INT32_MAX], [-1, INT32_MAX + 1]),
    ("server", {}, "spec.maxModelLen", [1], [0]),
    ("server", {}, "spec.accelerator.count", [0], [-1]),
    ("server", {}, "spec.parallelism.tensor", [1, 1024], [0, 1025]),
    ("server", {}, "spec.parallelism.pipeline", [1, 1024], [0, 1025]),
    ("server", {}, "spec.parallelism.data", [1, 1024], [0, 1025]),
    ("server", {}, "spec.parallelism.nodes", [1], [0, 1025]),
    (
        "server",
        {},
        "spec.resources.limits",
        [{f"example.com/a{n}": 1 for n in range(32)}],
        [{f"example.com/a{n}": 1 for n in range(33)}],
    ),
    ("server", {}, "spec.podTemplate.spec.terminationGracePeriodSeconds", [0], [-1]),
    ("server", {}, "spec.args", [["a"] * 256], [["a"] * 257]),
    ("campaign", {}, "spec.maxConcurrent", [1], [0]),
    ("campaign", {}, "spec.defaults.taskLimit", [1], [0]),
    ("campaign", {}, "spec.models.0.name", ["a", "a" * 63], ["", "a" * 64]),
    ("campaign", {}, "spec.rerunToken", ["a", "a" * 63], ["", "a" * 64]),
    ("campaign", {"spec.schedule": "@daily"}, "spec.history.successful", [0], [-1]),
    ("campaign", {"spec.schedule": "@daily"}, "spec.history.failed", [0], [-1]),
    (
        "campaign",
        {},
        "spec.models",
        [[{"name": f"m{n}", "server": EXTERNAL} for n in range(200)]],
        [[], [{"name": f"m{n}", "server": EXTERNAL} for n in range(201)]],
    ),
    (
        "campaign",
        {},
        "spec.benchmarks",
        [[{"name": f"b{n}", "task": {"name": "t"}} for n in range(200)]],
        [[], [{"name": f"b{n}", "task": {"name": "t"}} for n in range(201)]],
    ),
    (
        "campaign",
        {},
        "spec.models.0.variants",
        [[{"name": f"v{n}"} for n in range(16)]],
        [[{"name": f"v{n}"} for n in range(17)]],
    ),
    (
        "campaign",
        {},
        "spec.include",
        [[{"name": f"i{n}", "model": "small", "benchmark": "gsm8k"} for n in range(200)]],
        [[{"name": f"i{n}", "model": "small", "benchmark": "gsm8k"} for n in range(201)]],
    ),
    ("campaign", {}, "spec.exclude", [[{"models": ["small"]}] * 64], [[{"models": ["small"]}] * 65]),
]

# --- Fields that cannot be changed: two values for each -------------------------------------------------------------

RUN_SAMPLES: dict[str, tuple[Any, Any]] = {
    "server": (EXTERNAL, {"modelServerRef": {"name": "a"}}),
    "submodels": ([{"name": "a", "server": EXTERNAL}], [{"name": "b", "server": EXTERNAL}]),
    "judge": ({"server": EXTERNAL}, {"server": EXTERNAL, "generation": {"temperature": 0}}),
    "task": ({"name": "a"}, {"name": "a", "limit": 1}),
    "agent": (AGENT, {"name": "react", "params": {"open": 1}}),
    "load": (STAGES, SEARCH),
    "sandbox": ({"mode": "None"}, {"mode": "Process"}),
    "concurrency": (2, 3),
    "epochs": (2, 3),
    "seed": (1, 2),
    "generation": ({"temperature": 0}, {"temperature": "0.5"}),
    "warmup": ({"queries": 0}, {"queries": 1}),
    "maxErrors": (1, "5%"),
    "energy": ({"policy": "Required"}, {"policy": "Disabled"}),
    "cost": ({"currency": "EUR"}, {"currency": "CHF"}),
    "results": ({"artifacts": "None"}, {"artifacts": "Failed"}),
    "shards": (2, 3),
    "retryLimit": (1, 2),
    "timeouts": ({"query": "1m"}, {"query": "2m"}),
    "runner": ({"image": "a"}, {"image": "b"}),
    "queue": ({"name": "a"}, {"name": "b"}),
}
SERVER_SAMPLES: dict[str, tuple[Any, Any]] = {"engine": ("SGLang", "Ollama"), "model": ("a", "b"), "preset": ("a", "b")}
MUTABLE_SAMPLES: dict[str, tuple[Any, Any]] = {
    "suspend": (True, False),
    "ttlAfterFinished": ("1h", "2h"),
    "rerunToken": ("a", "b"),
}


def _transitions(base: Object, field: str, samples: tuple[Any, Any], *, good: bool) -> Iterator[Row]:
    """A field is left as it is, added, changed and removed."""
    path, (first, second) = f"spec.{field}", samples
    without, one, other = (changed(base, {path: value}) for value in (None, first, second))
    name = f"{base['kind']}.{field}"
    yield Row(f"{name}: left as it is", one, good=True, old=one)
    yield Row(f"{name}: changed", other, good=good, old=one)
    if field not in {"server", "task", "model", "preset"}:
        yield Row(f"{name}: added", one, good=good, old=without)
        yield Row(f"{name}: removed", without, good=good, old=one)


def _server_transitions() -> Iterator[Row]:
    preset = changed(SERVER, {"spec.model": None, "spec.preset": "a"})
    yield from _transitions(changed(preset, {"spec.engine": None}), "engine", SERVER_SAMPLES["engine"], good=False)
    yield from _transitions(SERVER, "model", SERVER_SAMPLES["model"], good=False)
    yield from _transitions(preset, "preset", SERVER_SAMPLES["preset"], good=False)
    model = changed(SERVER, {})
    yield Row("ModelServer.model: removed for a preset", preset, good=False, old=model)
    yield Row("ModelServer.preset: removed for a model", model, good=False, old=preset)
    yield Row("ModelServer.replicas: changed", changed(SERVER, {"spec.replicas": 0}), good=True, old=SERVER)
    yield Row("ModelServer.image: added", changed(SERVER, {"spec.image": "a"}), good=True, old=SERVER)
    template = "spec.models.0.server.template.spec.model"
    yield Row("a campaign's model: changed", changed(CAMPAIGN, {template: "x"}), good=True, old=CAMPAIGN)


def _rule_rows() -> Iterator[Row]:
    for index, (base, changes, good) in enumerate(_RULES):
        told = ", ".join(f"{path}={value}" for path, value in changes.items())[:90]
        yield Row(
            f"{index} {base} {'is' if good else 'is not'} {told or 'shortest'}", changed(BASES[base], changes), good
        )


def _union_rows() -> Iterator[Row]:
    for union in UNIONS:
        members = list(union.samples)
        room = changed(BASES[union.base], union.room)
        # The object that holds the union must be there, even if it is empty.
        place = changed(room, {f"{union.path}.{member}": None for member in members})
        name = f"{union.base} {union.path}"
        yield Row(f"{name} without {'/'.join(members)}", place, good=not union.needed)
        for member in members:
            for number, sample in enumerate(union.samples[member]):
                yield Row(f"{name}.{member} {number}", _filled(place, union, {member: sample}), good=True)
        for pair in combinations(members, 2):
            both = {member: union.samples[member][0] for member in pair}
            yield Row(f"{name} with {' and '.join(pair)}", _filled(place, union, both), good=False)


def _filled(place: Object, union: Union, members: Changes) -> Object:
    return changed(place, {f"{union.path}.{member}": value for member, value in members.items()})


def _bound_rows() -> Iterator[Row]:
    for base, room, path, inside, outside in BOUNDS:
        for good, values in ((True, inside), (False, outside)):
            for number, value in enumerate(values):
                row = changed(changed(BASES[base], room), {path: value})
                yield Row(f"{base} {path} {'inside' if good else 'outside'} {number}", row, good)


def _different_rows() -> Iterator[Row]:
    """Where the models and the API server differ on purpose."""
    float_run = changed(RUN, {"spec.generation.temperature": 0.7})
    yield Row("an unquoted decimal", float_run, False, python_good=True, why="accepted here with a warning")
    dashes = changed(SERVER, {"spec.engineArgs": {"--threads": 2}})
    yield Row("an option with dashes", dashes, True, python_good=False, why="keys of an open object cannot be listed")
    mixed = changed(SERVER, {"spec.engineArgs": {"tensor-parallel_size": 2}})
    yield Row("an owned option, spelt mixed", mixed, True, python_good=False, why="only declared keys can be seen")
    excluded = changed(CAMPAIGN, {"spec.exclude": [{"models": ["no-such"]}]})
    yield Row("an unknown name in exclude", excluded, True, python_good=False, why="too many pairs for a rule")
    port = changed(RUN, {"spec.server": {"external": {"url": "http://x:99999/v1", "model": "m"}}})
    yield Row("a port that cannot be", port, True, python_good=False, why="a pattern does not reckon")
    label = changed(RUN, {"metadata.labels": {"team": "a b"}})
    yield Row("a label that cannot be", label, False, needs_server=True)


def _transition_rows() -> Iterator[Row]:
    for field, samples in RUN_SAMPLES.items():
        yield from _transitions(RUN, field, samples, good=False)
    for field, samples in MUTABLE_SAMPLES.items():
        yield from _transitions(RUN, field, samples, good=True)
    yield from _server_transitions()
    deep = changed(RUN, {"spec.task.params": {"a": {"b": 1}}})
    other = changed(RUN, {"spec.task.params": {"a": {"b": 2}}})
    yield Row("BenchmarkRun.task.params: changed inside", other, good=False, old=deep)


ROWS: tuple[Row, ...] = (
    *_rule_rows(),
    *_union_rows(),
    *_bound_rows(),
    *_transition_rows(),
    *_different_rows(),
)
