"""What the run's own status says already. Read field by field: another release may have written more than we know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from joulebench_api.conditions import ConditionType
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator.objects import Object


@dataclass(frozen=True)
class Recorded:
    """A status as it was last written."""

    status: Mapping[str, Any] = field(default_factory=dict)

    def condition(self, kind: ConditionType) -> Mapping[str, Any]:
        """The condition of that type; empty if there is none."""
        return next((one for one in objects(self.status.get("conditions")) if one.get("type") == kind), {})

    def holds(self, kind: ConditionType) -> bool:
        """Whether the condition is True."""
        return self.condition(kind).get("status") == ConditionStatus.TRUE

    @property
    def attempts(self) -> list[Object]:
        """The attempts that were begun, the newest last."""
        return [dict(one) for one in objects(self.status.get("attempts")) if isinstance(one.get("number"), int)]

    def part(self, name: str) -> Mapping[str, Any]:
        """An object of the status; empty if there is none."""
        found = self.status.get(name)
        return found if isinstance(found, Mapping) else {}


def of(item: Mapping[str, Any]) -> Recorded:
    """What the status of an object says."""
    found = item.get("status")
    return Recorded(found if isinstance(found, Mapping) else {})


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; empty for what is none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """The value if it is text."""
    return value if isinstance(value, str) else None


def time_of(value: Any) -> datetime | None:
    """A time as Kubernetes writes it; None for what is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def time_text(moment: datetime) -> str:
    """A UTC time as Kubernetes writes it, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
