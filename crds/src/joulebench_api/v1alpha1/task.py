"""Which questions are asked."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import ApiModel, refusal
from joulebench_api.v1alpha1.collections import ListSet
from joulebench_api.v1alpha1.kubernetes import Open
from joulebench_api.v1alpha1.numbers import Count, PositiveInt
from joulebench_api.v1alpha1.references import ConfigMapKeyRef
from joulebench_api.v1alpha1.rules import Violation, at_most_one_of
from joulebench_api.v1alpha1.storage import Source
from joulebench_api.v1alpha1.texts import NonEmpty

_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*|inspect:[^\s/]+/\S+")


def _check_name(value: str) -> str:
    if _TASK_NAME.fullmatch(value) is None:
        raise refusal(
            Violation(
                path=(),
                message=f"{shown(value)} is not a task's name",
                remedy="write a name such as gsm8k, or inspect:package/task",
            )
        )
    return value


class Task(ApiModel):
    """A task of the registry, or one of an inspect-ai package, and the part of it that is asked."""

    rules = (at_most_one_of("recordIds", "recordIdsConfigMapRef"),)

    name: Annotated[str, AfterValidator(_check_name)]
    source: Source | None = None
    subset: NonEmpty | None = None
    split: NonEmpty | None = None
    limit: PositiveInt | None = None
    record_ids: Annotated[tuple[NonEmpty, ...], ListSet(), Field(min_length=1, max_length=1000)] | None = None
    record_ids_config_map_ref: ConfigMapKeyRef | None = None
    few_shot: Count | None = None
    params: Open = Field(default_factory=dict)
