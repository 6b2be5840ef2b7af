"""What can go wrong in the operator. Each error says what was wrong and what to do."""


class OperatorError(Exception):
    """Base of all errors of the operator."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"


class BadOptionError(OperatorError):
    """A flag or the configuration file cannot be used; nothing was started."""


class ApiRefusalError(OperatorError):
    """The API server refused a request. `status` is its HTTP status."""

    def __init__(self, message: str, *, remedy: str, status: int, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ForeignObjectError(OperatorError):
    """An object of the name that a child needs belongs to somebody else; it is left alone."""
