"""The exceptions of joulebench's vocabulary. Each says what was wrong and what to do about it."""

from collections.abc import Sequence

from joulebench_api.problems import Problem


class ApiError(Exception):
    """Base of all errors that this package raises on purpose; `remedy` is a sentence on what would be right."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class InvalidDocumentError(ApiError):
    """A file (or an override) is wrong. `problems` holds everything that was found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class UnknownNameError(ApiError):
    """A name that nothing here goes by: an engine without a builder, a preset that does not exist."""


class UnsupportedSpecError(ApiError):
    """A well-formed ModelServer asks for something that its engine cannot do."""
