"""The reference page of the operator's flags and metrics, from its command and its registry."""

from collections.abc import Iterator
from typing import Final

import click
from prometheus_client.metrics import MetricWrapperBase

from joulebench_operator import metrics
from joulebench_operator.cli import PREFIX, main

_INTRODUCTION: Final = """\
# Flags and metrics of the operator

Every flag of `joulebench-operator` may also stand in the environment; what stands on the command line counts instead.
The chart sets most of them from its values.

## Flags

| flag | environment variable | meaning |
|---|---|---|
"""
_METRICS: Final = """
## Metrics

Served at `/metrics` (`--metrics-listen`). Where client-go or controller-runtime have a name for a thing, it is theirs,
so that dashboards and alerts made for other operators fit.

| name | type | labels | meaning |
|---|---|---|---|
"""


def render() -> str:
    """The page as Markdown."""
    return _INTRODUCTION + "".join(_flags()) + _METRICS + "".join(_metrics())


def _flags() -> Iterator[str]:
    for option in main.params:
        if isinstance(option, click.Option) and option.name != "version":
            names = "`, `".join((*option.opts, *option.secondary_opts))
            default = f" (default `{option.default}`)" if option.show_default and not option.is_flag else ""
            if option.is_flag:
                default = f" (default `{option.opts[0] if option.default else option.secondary_opts[0]}`)"
            value = "" if option.is_flag else f" {option.metavar or _kind(option)}"
            variable = f"{PREFIX}_{str(option.name).upper()}"
            yield f"| `{names}{value}` | `{variable}` | {option.help}{default} |\n"


def _kind(option: click.Option) -> str:
    choices = getattr(option.type, "choices", None)
    return "\\|".join(choices).join("{}") if choices else str(option.type.name).upper()


def _metrics() -> Iterator[str]:
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            (described,) = one.describe()
            name = f"{described.name}_total" if described.type == "counter" else described.name
            labels = ", ".join(f"`{label}`" for label in one._labelnames)
            yield f"| `{name}` | {described.type} | {labels} | {described.documentation} |\n"
