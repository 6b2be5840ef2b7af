"""Which questions are asked."""

from typing import Annotated

from pydantic import Field

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.kubernetes import Open
from joulebench_api.v1alpha1.numbers import Count, PositiveInt
from joulebench_api.v1alpha1.references import ConfigMapKeyRef
from joulebench_api.v1alpha1.rules import at_most_one_of
from joulebench_api.v1alpha1.storage import Source
from joulebench_api.v1alpha1.texts import NonEmpty
from joulebench_api.v1alpha1.values import Form

TaskName = Annotated[
    NonEmpty,
    Form(
        r"^([A-Za-z0-9][A-Za-z0-9._-]*|inspect:[^\s/]+/\S+)$",
        "a task's name",
        "write a name such as gsm8k, or inspect:package/task",
    ),
]


class Task(ApiModel):
    """A task of the registry, or one of an inspect-ai package, and the part of it that is asked."""

    rules = (at_most_one_of("recordIds", "recordIdsConfigMapRef"),)

    name: TaskName
    """Of the registry (`gsm8k`), or `inspect:package/task`."""
    source: Source | None = None
    """Absent: where the task says that its data are."""
    subset: NonEmpty | None = None
    split: NonEmpty | None = None
    limit: PositiveInt | None = None
    """Ask only so many questions."""
    record_ids: Annotated[tuple[NonEmpty, ...], ListSet(), Field(min_length=1, max_length=1000)] | None = None
    record_ids_config_map_ref: ConfigMapKeyRef | None = None
    few_shot: Count | None = None
    """Solved examples before each question."""
    params: Open = Field(default_factory=dict)
