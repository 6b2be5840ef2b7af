"""What is decided about one object at one visit: plain data. Controllers make it, `reconciling` carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import Inquiry
from joulebench_operator.kinds import Kind
from joulebench_operator.objects import Object


@dataclass(frozen=True)
class Child:
    """An object that is to exist for as long as it is decided. Its owner reference is added when it is applied."""

    body: Object
    once: bool = False
    """Made once and never changed (Jobs, claims: most of them cannot be); else drift is repaired."""


@dataclass(frozen=True)
class Wanted:
    """A condition as it should stand; times and generation are added when the status is made."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str = ""


@dataclass(frozen=True)
class Decision:
    """All that follows from one look at an object."""

    children: tuple[Child, ...] = ()
    """All children that are to exist. Others that the object controls are deleted."""
    conditions: tuple[Wanted, ...] = ()
    """All conditions; one that is left out is removed from the status."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """The rest of the status under the names of the API, without conditions and observedGeneration; what is left out is
    removed."""
    progress: tuple[str, ...] = ()
    """Fields of `status` whose change alone is written every few seconds at most."""
    inquiries: tuple[Inquiry, ...] = ()
    """What is to be asked meanwhile."""
    again_after_seconds: float | None = None
    """When to look again though nothing happens (a time limit)."""


@dataclass(frozen=True)
class Context:
    """What a decision may know beside the object itself."""

    cache: Cache
    configuration: OperatorConfiguration
    now: datetime
    """UTC."""
    settings: "Settings"


@dataclass(frozen=True)
class Settings:
    """What the operator's own flags say to decisions."""

    images: Mapping[str, str] = field(default_factory=dict)
    """Images of this release by part: `runner`, and those of engines that we publish, by the engine's name."""
    exporter_namespace: str | None = None
    """Where the exporter's DaemonSet is; None: none is installed."""
    exporter_audience: str = "joulebench-exporter"
    exporter_port: int = 9780


class Controller(Protocol):
    """Decides about one kind of ours. Pure: the same object and context give the same decision."""

    @property
    def kind(self) -> Kind:
        """The kind it decides about."""

    def decide(self, item: Object, context: Context) -> Decision:
        """What is to be for an object that is not being deleted."""
