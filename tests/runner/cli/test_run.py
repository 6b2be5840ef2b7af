"""The command that goes on with a run."""

from pathlib import Path

import click
import pytest

from joulebench_runner.cli.run import command_to_go_on, run


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (["b.yaml"], "joulebench run b.yaml --out runs/x"),
        (["b.yaml", "--out", "old"], "joulebench run b.yaml --out runs/x"),
        (
            ["b.yaml", "--set", "spec.seed=1", "--set", "spec.task.name=a b", "--json"],
            "joulebench run b.yaml --set spec.seed=1 --set 'spec.task.name=a b' --json --out runs/x",
        ),
        (["my file.yaml", "--idle-watts", "5"], "joulebench run 'my file.yaml' --idle-watts 5.0 --out runs/x"),
    ],
)
def test_it_is_the_command_that_was_given_with_the_folder_named(given: list[str], command: str) -> None:
    context: click.Context = run.make_context("run", given)
    assert command_to_go_on(context, folder=Path("runs/x")) == command
