"""How a command fails: a message, what to do about it, and the exit code."""

from typing import IO, Any

import click


class CommandError(click.ClickException):
    """The cluster, or the run in it, is not as the command needs it. Exit code 1."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy

    def show(self, file: IO[Any] | None = None) -> None:
        """Print both on standard error."""
        click.secho(f"error: {self.message}", fg="red", err=True, file=file)
        click.echo(f"  what to do: {self.remedy}", err=True, file=file)


class BadRequestError(CommandError):
    """What was asked for cannot be; nothing was begun. Exit code 2."""

    exit_code = 2
