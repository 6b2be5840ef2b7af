"""A cluster that answers, and a command line that asks it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.operator.commands.api_server import ApiServer, serving

Ask = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server that has nothing yet."""
    with serving() as found:
        yield found


@pytest.fixture
def ask(server: ApiServer, tmp_path: Path) -> Ask:
    """Runs a command that reaches that server."""
    kubeconfig = server.kubeconfig(tmp_path)

    def asked(command: click.Command, *words: str) -> Result:
        return CliRunner().invoke(command, [*words, f"--kubeconfig={kubeconfig}"])

    return asked
