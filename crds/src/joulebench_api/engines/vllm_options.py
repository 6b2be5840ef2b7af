"""The options of `vllm serve`, as one release of vLLM has them. Data (`vllm_options.json`), since vLLM itself is large.

They are for advice alone: the image may hold another release.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from joulebench_api.names import did_you_mean
from joulebench_api.v1alpha1.model_server import ModelServerSpec


@dataclass(frozen=True)
class VllmOptions:
    """The options of one release, by their long names without dashes."""

    version: str
    options: frozenset[str]
    several: frozenset[str]
    """Options that take several values after one name; of repeated ones vLLM keeps the last alone."""
    json: frozenset[str]
    """Options that take a list as JSON."""


@cache
def vllm_options() -> VllmOptions:
    """The options of the release that is known here."""
    data = json.loads((files("joulebench_api") / "engines" / "vllm_options.json").read_text())
    sets = {name: frozenset(data[name]) for name in ("options", "several", "json")}
    return VllmOptions(version=data["version"], **sets)


def doubts(spec: ModelServerSpec) -> tuple[str, ...]:
    """One sentence for each option of `engineArgs` and `args` that the release does not know."""
    known = vllm_options()
    return tuple(
        f"{place} is not an option of vLLM {known.version}" + _hint(name, known)
        for place, name in _named(spec.engine_args, spec.args)
        if name not in known.options
    )


def _hint(name: str, known: VllmOptions) -> str:
    hint = did_you_mean(name, known.options)
    return "" if hint is None else f"; {hint}"


def _named(options: Mapping[str, Any], args: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, value in options.items():
        if value is not None:
            yield f"engineArgs.{key}", _plain(key)
    for index, argument in enumerate(args):
        if argument.startswith("--") and len(argument) > 2:
            yield f"args[{index}] {argument.partition('=')[0]}", _plain(argument[2:])


def _plain(text: str) -> str:
    """`no-enable_x.y+=z` -> `enable-x`: vLLM takes underscores, negations, and keys of JSON options after a point."""
    name = text.partition("=")[0].partition(".")[0].rstrip("+").replace("_", "-")
    return name if name in vllm_options().options else name.removeprefix("no-")
