"""The runner's exceptions. What a user can mend carries what was wrong and what to do about it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What `joulebench` tells the shell."""

    DONE = 0
    FAILED = 1
    """The run failed; started work is kept and can be gone on with."""
    BAD_INPUT = 2
    """The input is wrong; nothing was started."""
    REQUIREMENT_NOT_MET = 3
    """The run is done, but a stated requirement was not met (energy required, error limit)."""
    INFRASTRUCTURE = 75
    """A part of the run died for reasons outside it (EX_TEMPFAIL); try again."""
    INTERRUPTED = 130


class RunnerError(Exception):
    """Base of all errors that the runner raises on purpose.

    `remedy` says in a sentence what the user can do; it is printed under the message.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class BadInputError(RunnerError):
    """The input is wrong: found before anything was started."""

    exit_code = ExitCode.BAD_INPUT


class StoppedError(RunnerError):
    """The user wanted out at once: nothing was summed up, everything that was acknowledged is kept."""

    exit_code = ExitCode.INTERRUPTED


class ServerError(RunnerError):
    """A model server cannot be used: it does not start, does not answer, or died."""


class JournalError(RunnerError):
    """The journal cannot be read or written."""


class StoreError(RunnerError):
    """The store of the results cannot be reached, read or written."""


class EnergyError(RunnerError):
    """The energy stream cannot be used."""
