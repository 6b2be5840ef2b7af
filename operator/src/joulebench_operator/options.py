"""What the flags say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from joulebench_operator.leadership import Candidacy


@dataclass(frozen=True)
class Options:
    """Everything that `joulebench-operator` was told."""

    config: Path | None = None
    watch_namespaces: tuple[str, ...] = ()
    """None: all."""
    metrics_listen: str = ":9782"
    probes_listen: str = ":9783"
    candidacy: Candidacy | None = None
    """None: this is the only replica."""
    identity: str = "joulebench-operator"
    exporter_namespace: str | None = None
    exporter_audience: str = "joulebench-exporter"
    exporter_port: int = 9780
    exporter_token_file: Path | None = None
    """For the exporters' audience; None: they ask for no token."""
    images: Mapping[str, str] = field(default_factory=dict)
    """By part: `runner`, or an engine's name."""
