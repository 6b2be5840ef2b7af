"""`engineArgs` and `env` of a ModelServer as a command line and an environment."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from joulebench_api.errors import UnsupportedSpecError
from joulebench_api.v1alpha1.kubernetes import EnvVar


def render(options: Mapping[str, Any]) -> tuple[str, ...]:
    """true -> `--k`, false -> `--no-k`, list -> repeated, object -> JSON, null -> nothing, else `--k value`."""
    return tuple(part for key, value in options.items() for part in _option(key, value))


def _option(key: str, value: Any) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, bool):
        yield f"--{key}" if value else f"--no-{key}"
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from (f"--{key}", text(entry))
    else:
        yield from (f"--{key}", text(value))


def text(value: Any) -> str:
    """One value as an argument: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def plain_environment(variables: Sequence[EnvVar]) -> dict[str, str]:
    """Variables with their values. Raises UnsupportedSpecError for `valueFrom`, which only a cluster can look up."""
    for index, variable in enumerate(variables):
        if variable.value_from is not None:
            raise UnsupportedSpecError(
                f"env[{index}].valueFrom: {variable.name} can be looked up only on a cluster",
                remedy="write a value, or set the variable where joulebench is started",
            )
    return {variable.name: variable.value or "" for variable in variables}
