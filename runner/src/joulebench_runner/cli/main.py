"""The command's frame: finds commands, prints errors with their remedies, sets the exit code."""

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from joulebench_runner import __version__
from joulebench_runner.cli.words import show_error
from joulebench_runner.errors import ExitCode, RunnerError

_EPILOG = """
\b
Examples:
  joulebench run examples/demo.yaml           ask a small model 40 questions on this machine
  joulebench run bench.yaml --set spec.task.limit=5
  joulebench run bench.yaml --json | jq .energy.per_correct_joules

\b
Exit codes: 0 done, 1 the run failed, 2 the input is wrong (nothing was started),
3 done but a stated requirement was not met, 130 interrupted.
"""


class _Commands(click.Group):
    """A group whose commands come from entry points, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self._entry_points().get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = found.load()
        return command

    @staticmethod
    def _entry_points() -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group="joulebench.commands")}


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="joulebench")
def cli() -> None:
    """What does a correct answer of a language model cost, in joules, seconds and money?

    joulebench deploys a model, asks it real questions, scores the answers, measures the energy and says which answer
    used which joules. The same files that a cluster takes run on this machine, without a cluster.
    """


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's completion script.

    \b
    Examples:
      joulebench completion bash >> ~/.bashrc
      joulebench completion zsh > "${fpath[1]}/_joulebench"
      joulebench completion fish > ~/.config/fish/completions/joulebench.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - needed by this command alone

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(found(cli, {}, "joulebench", "_JOULEBENCH_COMPLETE").source())


def main() -> None:
    """Entry point: every error that is ours becomes two lines and an exit code, never a traceback."""
    try:
        cli.main(prog_name="joulebench", standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RunnerError as error:
        show_error(error.message, error.remedy)
        sys.exit(error.exit_code)
