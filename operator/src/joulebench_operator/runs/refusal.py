"""A run that cannot be carried out as it is written, or as the administrator allows."""

from pydantic import ValidationError

from joulebench_api.conditions import Reason
from joulebench_api.errors import ApiError
from joulebench_operator.errors import OperatorError
from joulebench_operator.servers.refusals import refusal


class RefusedRunError(OperatorError):
    """Nothing is made for such a run. `message` names field and value; `reason` is shown in the conditions."""

    def __init__(self, message: str, *, remedy: str, reason: Reason = Reason.INVALID_SPEC) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


def refused(error: ApiError | ValidationError, *, at: str = "") -> RefusedRunError:
    """What was found wrong below a place of the run (`spec.server.template.`): told with the place before it."""
    reason, message = refusal(error)
    return RefusedRunError(f"{at}{message}", remedy="", reason=reason)
