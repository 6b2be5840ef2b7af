"""The reference page of the exporter's Prometheus metrics, from the table that they are served from."""

from joulebench_exporter.metrics import METRICS, Metric

_INTRODUCTION = """\
# Metrics of the exporter

Served at `/metrics` with `joulebench-exporter --http ADDRESS`, in the Prometheus text format or as OpenMetrics,
whichever the scraper asks for. Everything comes from memory: a scrape makes no call of a driver. What a device does not
tell is absent, never 0.

`namespace`, `pod` and `container` join with kube-state-metrics, `gpu` and `UUID` with dcgm-exporter. For example, watts
by pod, without boards that several pods share:

```
joulebench_gpu_power_watts
  * on (UUID) group_left (namespace, pod) joulebench_gpu_owner_info{shared="false"}
```

Joules of the last five minutes by node: `sum by (instance) (increase(joulebench_gpu_energy_joules_total[5m]))`.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def render() -> str:
    """The page as Markdown."""
    return _INTRODUCTION + "".join(_line(metric) for metric in METRICS)


def _line(metric: Metric) -> str:
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{name}` | {metric.kind} | {labels} | {metric.help} |\n"
