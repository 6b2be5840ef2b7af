"""How the command says what went wrong: the message, and under it the way out."""

import click


def show_error(message: str, remedy: str | None, *, label: str = "error") -> None:
    """Two lines on standard error."""
    click.secho(f"{label}: {message}", fg="red", err=True)
    if remedy:
        click.echo(f"  what to do: {remedy}", err=True)
