"""Metadata of an object: what a user writes of it."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import ApiModel, refusal
from joulebench_api.v1alpha1.rules import Violation
from joulebench_api.v1alpha1.texts import ObjectName

_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_REMEDY = "use at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit"


def _check_keys(entries: dict[str, str]) -> dict[str, str]:
    wrong = [
        Violation(path=(key,), message=f"{shown(key)} is not a key that Kubernetes takes", remedy=_REMEDY, value=key)
        for key in entries
        if _KEY.fullmatch(key) is None
    ]
    if wrong:
        raise refusal(*wrong)
    return entries


def _check_labels(entries: dict[str, str]) -> dict[str, str]:
    wrong = [
        Violation(path=(key,), message=f"{shown(value)} is not a label value", remedy=_REMEDY, value=value)
        for key, value in entries.items()
        if _LABEL_VALUE.fullmatch(value) is None
    ]
    if wrong:
        raise refusal(*wrong)
    return entries


def _check_namespace(value: str) -> str:
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value) is None:
        raise refusal(
            Violation(
                path=(), message=f"{shown(value)} is not a namespace", remedy="use lower-case letters, digits and '-'"
            )
        )
    return value


MAX_KEYS = 64
"""Of labels and of annotations that a user writes."""

Annotations = Annotated[dict[str, str], AfterValidator(_check_keys), Field(max_length=MAX_KEYS)]
Labels = Annotated[
    dict[str, str], Field(max_length=MAX_KEYS), AfterValidator(_check_keys), AfterValidator(_check_labels)
]


class Metadata(ApiModel):
    """Name, namespace, labels and annotations of a BenchmarkRun or ModelServer."""

    name: ObjectName
    namespace: Annotated[str, AfterValidator(_check_namespace)] | None = None
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)


class TemplateMetadata(ApiModel):
    """Labels and annotations of an object that joulebench makes and names itself."""

    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)
