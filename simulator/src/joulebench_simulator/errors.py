"""The simulator's own errors. Each says what is wrong, and what would be right."""


class SimulatorError(Exception):
    """Base of all of them; `remedy` is a sentence for the user."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class BadOptionError(SimulatorError):
    """A command-line option or a file that it names cannot be used; nothing was started."""

    exit_code = 2


class RequestError(SimulatorError):
    """A request cannot be answered; told to the client in the form of the OpenAI API."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
