"""Annotations for single values: a form (a pattern) and a rule, each for Python and for the API server."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import refusal
from joulebench_api.v1alpha1.rules import Cel, Violation


@dataclass(frozen=True)
class Form:
    """Annotation: text of this pattern. The pattern must mean the same to Python and to RE2, and is anchored."""

    pattern: str
    what: str
    """What the text is, for the message: `a quantity`."""
    remedy: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: str) -> str:
        if re.fullmatch(self.pattern, value) is None:
            message = f"{shown(value)} is not {self.what}"
            raise refusal(Violation(path=(), message=message, remedy=self.remedy, value=value))
        return value


@dataclass(frozen=True)
class ValueRule:
    """Annotation: a rule for one parsed value. In CEL, `self` is the value as it was written."""

    check: Callable[[Any], Iterable[Violation]]
    cel: tuple[Cel, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        violations = list(self.check(value))
        if violations:
            raise refusal(*violations)
        return value
