"""A real vLLM on the CPU, installed and asked as everybody's is: its own flags, its own metrics, its own last words.

Left out of `make cluster-test`, since its image is 5 GB: `make cluster-test-vllm`.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from tests.cluster.benchmarks import API_VERSION, Benchmark, example, pods
from tests.cluster.cluster import Cluster
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.images.products import Product, made
from tests.cluster.installation import Installation
from tests.cluster.objects import Object
from tests.cluster.session import Namespace
from tests.cluster.waiting import until
from tools.images import VLLM_CPU

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("installation")]
MODEL = "SmolLM2-135M-Instruct"
QUESTIONS = 12
SERVERS = (
    '--output=custom-columns=READY:.status.conditions[?(@.type=="Ready")].status,'
    'REASON:.status.conditions[?(@.type=="Ready")].reason,MESSAGE:.status.conditions[?(@.type=="Ready")].message'
)
VERSION = "0.32.0"
"""What images/vllm-cpu/pyproject.toml pins."""


@pytest.fixture(scope="module")
def installation(
    cluster: Cluster, gpus_of_node: list[FakeGpu], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The chart, as in the tests of the operator."""
    installed = Installation.install(cluster, tmp_path_factory.mktemp("values"))
    yield installed
    installed.remove()


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> Product:
    """The image, on the node."""
    start = time.monotonic()
    built = made(VLLM_CPU, most=1, libraries=["libnuma.so.1"])
    FIGURES["build of vLLM's image (s)"] = time.monotonic() - start
    start = time.monotonic()
    cluster.load_image(built.archive, nodes=["node0"])
    FIGURES["load of vLLM's image (s)"] = time.monotonic() - start
    return built


def vllm(
    image: Product, *, model: str = f"/models/{MODEL}", engine_args: Mapping[str, Any] | None = None, cache_gib: int = 1
) -> Object:
    """The spec of a model server without accelerators whose model is in its image."""
    return {
        "engine": "vLLM",
        "model": model,
        "servedModelName": MODEL,
        "image": image.name,
        "imagePullPolicy": "Never",
        "accelerator": {"count": 0},
        "maxModelLen": 2048,
        "engineArgs": {"dtype": "bfloat16", "enforce-eager": True, "max-num-seqs": 16, **(engine_args or {})},
        "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": str(cache_gib)}],
        "resources": {"requests": {"cpu": "250m", "memory": "6Gi"}, "limits": {"cpu": "2", "memory": "6Gi"}},
    }


def model_server(name: str, spec: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": "ModelServer", "metadata": {"name": name}, "spec": spec}


class Story:
    """What `kubectl get` says of a kind while things go on: each line once, with the seconds since the beginning."""

    def __init__(self, namespace: Namespace, *words: str) -> None:
        self._namespace = namespace
        self._words = words
        self._start = time.monotonic()
        self._header = ""
        self._told: list[str] = []

    @property
    def lines(self) -> list[str]:
        """All that was said, below the last header."""
        return [f"{'':7}{self._header}", *self._told]

    def listen(self) -> None:
        """Look once."""
        header, *found = self._namespace.kubectl("get", *self._words).splitlines() or [""]
        # Ages change with each look.
        age = len(header) - len("AGE") if header.endswith(" AGE") else None
        self._header = header[:age].rstrip() or self._header
        for line in (line[:age].rstrip() for line in found):
            if not any(one.endswith(line) for one in self._told[-1:]):
                self._told.append(f"{time.monotonic() - self._start:3.0f} s  {line}")


def told_until(benchmark: Benchmark, *reasons: str, stories: Sequence[Story], seconds: float) -> None:
    """Listen until the column STATUS says one of these."""

    def said() -> bool:
        for story in stories:
            story.listen()
        return benchmark.reason() in reasons

    def hint() -> str:
        return "\n".join(line for story in stories for line in story.lines)

    what = f"one of {', '.join(reasons)}"
    until(said, what=what, timeout_seconds=seconds, pause_seconds=1, hint=hint)


def test_a_real_vllm_is_served_and_asked(installation: Installation, namespace: Namespace, image: Product) -> None:
    changes: dict[str, Any] = {
        "server": {"template": {"spec": vllm(image)}},
        "task": {"name": "everyday", "limit": QUESTIONS},
        "energy": {"policy": "Preferred", "idleBaseline": "1s"},
    }
    namespace.apply(example(**changes))
    benchmark = Benchmark(namespace, "qwen")
    stories = [Story(namespace, "brun"), Story(namespace, "msrv", SERVERS)]
    told_until(benchmark, "Running", "Failed", stories=stories, seconds=240)
    (server,) = json.loads(namespace.kubectl("get", "msrv", "--output=json"))["items"]
    (pod,) = pods(namespace, f"joulebench.dev/server={server['metadata']['name']}")
    log = namespace.kubectl("logs", pod["metadata"]["name"])
    told_until(benchmark, "Succeeded", "Failed", stories=stories, seconds=240)
    lines = [line for story in stories for line in ("", *story.lines)]
    print(*lines, json.dumps(server["status"], indent=2), json.dumps(benchmark.status, indent=2), sep="\n")

    assert benchmark.reason() == "Succeeded"
    (operator,) = installation.operator_pods()
    asked = [
        line for line in log.splitlines() if "/v1/chat/completions" in line and operator["status"]["podIP"] in line
    ]
    assert any(" 200" in line for line in asked), "the server was found ready without a completion"

    status = server["status"]
    assert status["resolved"]["argv"][:3] == ["vllm", "serve", f"/models/{MODEL}"]
    assert (status["resolved"]["image"], status["resolved"]["acceleratorsPerReplica"]) == (image.name, 0)
    assert status["resolved"]["engineVersion"] == VERSION
    assert [endpoint["pod"] for endpoint in status["endpoints"]] == [pod["metadata"]["name"]]
    FIGURES.update({f"vLLM's {name}": float(value) for name, value in status["startup"].items()})
    assert set(status["startup"]) == {"pullSeconds", "loadSeconds", "warmSeconds", "totalSeconds"}

    counts = benchmark.summary.counts
    assert (counts.asked, counts.answered, counts.errors) == (QUESTIONS, QUESTIONS, 0)
    rows = benchmark.rows("queries")
    assert all(row["output_tokens"] > 0 and row["prompt_tokens"] > 0 and row["ttft_seconds"] > 0 for row in rows)
    metrics = {row["name"] for row in benchmark.rows("server_metrics")}
    assert {"vllm:num_requests_running", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc"} <= metrics
    served = benchmark.status["resolved"]["server"]
    assert (served["engine"], served["engineVersion"]) == ("vLLM", VERSION)


def test_what_a_real_vllm_says_at_its_end_is_told_by_its_cause(namespace: Namespace, image: Product) -> None:
    wrong = {
        "no-such-flag": (
            "InvalidSpec",
            "unrecognized arguments: --no-such-flag",
            vllm(image, engine_args={"no-such-flag": 1}),
        ),
        "no-model": ("ModelUnavailable", "/models/absent", vllm(image, model="/models/absent")),
        "no-room": ("OutOfMemory", "Available memory on node", vllm(image, cache_gib=1000)),
    }
    namespace.apply(*(model_server(name, spec) for name, (_, _, spec) in wrong.items()))

    for name, (reason, words, _) in wrong.items():
        message = told(namespace, name, reason)
        print(message)
        assert words in message


def told(namespace: Namespace, server: str, reason: str) -> str:
    """The message of a server's condition Ready, once it has this reason."""

    def ready() -> Object:
        conditions = namespace.get("msrv", server).get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == "Ready"), {})

    until(
        lambda: ready().get("reason") == reason,
        what=f"{reason} of {server}",
        timeout_seconds=180,
        hint=lambda: str(ready()),
    )
    return str(ready()["message"])
