"""Why a spec cannot be used, as a condition tells it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from joulebench_api.conditions import Reason
from joulebench_api.errors import ApiError
from joulebench_api.problems import path_text, texts


class RefusedSpecError(ApiError):
    """A well-formed spec that cannot be used here: by what is configured, or by what the operator can do."""

    def __init__(self, message: str, *, remedy: str, reason: Reason = Reason.INVALID_SPEC) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


def refusal(error: ApiError | ValidationError) -> tuple[Reason, str]:
    """Reason and message of a condition; `spec.field: what; remedy`."""
    if isinstance(error, ValidationError):
        return Reason.INVALID_SPEC, "; ".join(map(_detail, error.errors(include_url=False)))
    reason = error.reason if isinstance(error, RefusedSpecError) else Reason.INVALID_SPEC
    return reason, _with_remedy(error.message, error.remedy)


def _detail(detail: Mapping[str, Any]) -> str:
    message, remedy = texts(detail)
    return f"{path_text(('spec', *detail['loc']))}: {_with_remedy(message, remedy)}"


def _with_remedy(message: str, remedy: str | None) -> str:
    return message if remedy is None else f"{message}; {remedy}"
