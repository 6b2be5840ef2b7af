"""What an engine's process is told, and where it then answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from joulebench_api.engines.arguments import plain_environment
from joulebench_api.v1alpha1.model_server import ModelServerSpec


@dataclass(frozen=True, slots=True)
class VersionSource:
    """Where a server says which release of its engine it is: a field of a JSON object."""

    path: str
    field: str


VERSION: Final = VersionSource(path="/version", field="version")
"""Where vLLM says it; the simulator does as vLLM."""


@dataclass(frozen=True)
class EngineCommand:
    """One server process. No secret is in it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    served_model_name: str
    key_variable: str | None = None
    """The variable in which the process expects its API key; None: it asks for no key."""
    health_path: str = "/health"
    """Answers 200 once the server lives; outside `/v1`."""
    metrics_path: str | None = "/metrics"
    """Prometheus metrics; None where the engine has none."""
    version: VersionSource = VERSION


def serving(
    spec: ModelServerSpec,
    *,
    argv: Sequence[str],
    port: int,
    served_model_name: str,
    key_variable: str,
    version: VersionSource = VERSION,
) -> EngineCommand:
    """The process of a server: what the spec says of it whatever the engine, and the engine's own arguments."""
    return EngineCommand(
        argv=tuple(argv),
        env=plain_environment(spec.env),
        port=port,
        served_model_name=served_model_name,
        key_variable=None if spec.api_key_secret_ref is None else key_variable,
        version=version,
    )
