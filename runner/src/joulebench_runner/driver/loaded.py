"""A task that is ready to be asked, whatever it came from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from joulebench_api.contracts.meter import ResolvedTask
from joulebench_runner.config import GenerationSettings
from joulebench_runner.tasks.selection import order_hash

if TYPE_CHECKING:
    from inspect_ai import Task


@dataclass(frozen=True, kw_only=True)
class LoadedTask:
    """The selected records of a task, in the order of asking, and how to make inspect-ai's task of them."""

    name: str
    revision: str
    record_ids: tuple[str, ...]
    scored: bool
    parameters: Mapping[str, JsonValue]
    options: GenerationSettings
    """Generation options of task and run."""
    warmup_prompts: tuple[str, ...]
    gated: bool = False
    canary: str | None = None
    build: "Callable[[], Task]"
    """Makes the inspect-ai task; each sample's id is the record id."""

    def resolved(self, *, epochs: int) -> ResolvedTask:
        """What a reader needs to ask the same questions again."""
        return ResolvedTask(
            name=self.name,
            revision=self.revision,
            records=len(self.record_ids),
            epochs=epochs,
            sha256=order_hash(self.record_ids),
            scored=self.scored,
            parameters=dict(self.parameters),
            gated=self.gated,
            canary=self.canary,
        )
