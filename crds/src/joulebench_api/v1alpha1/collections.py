"""Lists that are sets or maps: the same entry twice is refused."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import refusal
from joulebench_api.v1alpha1.rules import Violation

_T = TypeVar("_T")


@dataclass(frozen=True)
class ListMap:
    """Annotation: a list whose entries are told apart by these attributes (`x-kubernetes-list-type: map`)."""

    keys: tuple[str, ...] = ("name",)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        check = _unique(lambda entry: tuple(getattr(entry, key) for key in self.keys), what=" and ".join(self.keys))
        return core_schema.no_info_after_validator_function(check, handler(source))


@dataclass(frozen=True)
class ListSet:
    """Annotation: a list without repetitions (`x-kubernetes-list-type: set`)."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_unique(lambda entry: entry, what="value"), handler(source))


def _unique(identity: Callable[[Any], Hashable], *, what: str) -> Callable[[tuple[_T, ...]], tuple[_T, ...]]:
    def check(entries: tuple[_T, ...]) -> tuple[_T, ...]:
        first: dict[Hashable, int] = {}
        repeated = []
        for index, entry in enumerate(entries):
            at = first.setdefault(identity(entry), index)
            if at != index:
                repeated.append(_repetition(index, at, identity(entry), what))
        if repeated:
            raise refusal(*repeated)
        return entries

    return check


def _repetition(index: int, first: int, identity: Hashable, what: str) -> Violation:
    parts = identity if isinstance(identity, tuple) else (identity,)
    text = ", ".join(shown(part) for part in parts)
    return Violation(
        path=(index,), message=f"the {what} {text} is used already by entry {first}", remedy="give each entry its own"
    )
