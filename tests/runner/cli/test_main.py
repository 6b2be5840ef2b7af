"""The command's frame."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.loaded import HEAVY, printed_and_loaded

from joulebench_runner.cli import main as frame
from joulebench_runner.errors import BadInputError, RunnerError

SHOW_HELP = """
from joulebench_runner.cli.main import cli
cli(["--help"], standalone_mode=False)
"""


def test_help_lists_the_commands_and_teaches_by_examples() -> None:
    done = CliRunner().invoke(frame.cli, ["--help"])
    assert done.exit_code == 0
    assert "completion" in done.output
    assert "joulebench run examples/demo.yaml" in done.output
    assert "Exit codes" in done.output


def test_help_imports_nothing_heavy() -> None:
    _, loaded = printed_and_loaded(SHOW_HELP)
    assert not loaded & HEAVY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str) -> None:
    done = CliRunner().invoke(frame.cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_JOULEBENCH_COMPLETE" in done.output


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadInputError("the words", remedy="the way out"), 2), (RunnerError("the words", remedy="the way out"), 1)],
)
def test_our_errors_become_two_lines_and_an_exit_code(
    error: RunnerError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(frame.cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        frame.main()
    assert ended.value.code == code
    assert capsys.readouterr().err == "error: the words\n  what to do: the way out\n"


@pytest.mark.parametrize("words", [["nothing"], ["run"], ["run", "x.yaml", "--nope"]])
def test_wrong_usage_is_bad_input(words: list[str]) -> None:
    command = Path(sys.executable).parent / "joulebench"
    done = subprocess.run([command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage:" in done.stderr


@pytest.mark.parametrize(("error", "code"), [(click.UsageError("no"), 2), (click.ClickException("no"), 1)])
def test_commands_of_other_packages_choose_their_exit_codes(
    error: click.ClickException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(frame.cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        frame.main()
    assert ended.value.code == code


def test_kubectl_finds_the_same_program() -> None:
    points = entry_points(group="console_scripts")
    assert points["kubectl-joulebench"].value == points["joulebench"].value
