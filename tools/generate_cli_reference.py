"""Renders docs/reference/cli.md from the commands' own help texts."""

import argparse
import functools
from collections.abc import Iterator

import click

from joulebench_runner.cli.main import cli
from joulebench_simulator.cli import parser

_HEADER = """\
# The command line

Generated from the commands' own `--help`; do not edit. `joulebench completion SHELL` prints a completion script.
"""


def render() -> str:
    """The whole page."""
    sections = [f"## `{name}`\n\n```text\n{text}\n```\n" for name, text in _help_texts()]
    return "\n".join([_HEADER, *sections])


def _help_texts() -> Iterator[tuple[str, str]]:
    # A fixed width keeps the page the same on every terminal.
    context = click.Context(cli, info_name="joulebench", terminal_width=100, max_content_width=100)
    yield "joulebench", _text(cli, context)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            child = click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
            yield f"joulebench {name}", _text(command, child)
    yield "joulebench-simulator", _simulator_text()


def _simulator_text() -> str:
    made = parser()
    made.formatter_class = functools.partial(argparse.RawDescriptionHelpFormatter, width=100)
    return made.format_help().rstrip()


def _text(command: click.Command, context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
