"""The page of Prometheus metrics, under vLLM's names (https://docs.vllm.ai/en/latest/usage/metrics.html)."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

_SECONDS: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: Sequence[float] = _SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """As Prometheus wants them."""
        total = 0
        yield f"# TYPE {name} histogram"
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            le = "+Inf" if bound == float("inf") else f"{bound}"
            yield f'{name}_bucket{{{labels},le="{le}"}} {total}'
        yield f"{name}_count{{{labels}}} {total}"
        yield f"{name}_sum{{{labels}}} {self._sum}"


@dataclass(slots=True)
class Metrics:
    """What has happened since the start."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    """By finish reason; `abort` for clients that went away."""
    ttft: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    e2e: Histogram = field(default_factory=Histogram)
    tpot: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What is so at the moment."""

    running: int
    waiting: int
    kv_used: float
    """Part of the KV cache, 0 to 1."""
    preemptions: int
    prefix_queries: int
    prefix_hits: int


def page(metrics: Metrics, now: Now, *, model: str) -> str:
    """The whole page."""
    escaped = model.replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join([*_lines(metrics, now, f'engine="0",model_name="{escaped}"'), ""])


def _lines(metrics: Metrics, now: Now, labels: str) -> Iterator[str]:
    gauges = {
        "num_requests_running": now.running,
        "num_requests_waiting": now.waiting,
        "kv_cache_usage_perc": now.kv_used,
    }
    counters = {
        "prompt_tokens_total": metrics.prompt_tokens,
        "generation_tokens_total": metrics.generation_tokens,
        "num_preemptions_total": now.preemptions,
        "prefix_cache_queries_total": now.prefix_queries,
        "prefix_cache_hits_total": now.prefix_hits,
    }
    histograms = {
        "time_to_first_token_seconds": metrics.ttft,
        "request_queue_time_seconds": metrics.queue,
        "request_time_per_output_token_seconds": metrics.tpot,
        "e2e_request_latency_seconds": metrics.e2e,
    }
    for kind, values in (("gauge", gauges), ("counter", counters)):
        for name, value in values.items():
            yield f"# TYPE vllm:{name} {kind}"
            yield f"vllm:{name}{{{labels}}} {float(value)}"
    yield "# TYPE vllm:request_success_total counter"
    for reason, count in sorted(metrics.finished.items()):
        yield f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {float(count)}'
    for name, histogram in histograms.items():
        yield from histogram.lines(f"vllm:{name}", labels)
