"""What an engine's process is told, and where it then answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VersionSource:
    """Where a server says which release of its engine it is: a field of a JSON object."""

    path: str
    field: str


@dataclass(frozen=True)
class EngineCommand:
    """One server process. No secret is in it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    health_path: str
    """Answers 200 once the server lives; outside `/v1`."""
    metrics_path: str | None
    """Prometheus metrics; None where the engine has none."""
    served_model_name: str
    key_variable: str | None = field(default=None, kw_only=True)
    """The variable in which the process expects its API key; None: it asks for no key."""
    version: VersionSource | None = field(default=None, kw_only=True)
    """None where the engine does not say it."""
