"""`joulebench run`: a benchmark on this machine, from the file to the table."""

import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from joulebench_runner.cli.words import show_error
from joulebench_runner.errors import ExitCode, RunnerError

if TYPE_CHECKING:
    from joulebench_runner.local.attempts import Attempt

SUMMARY_FILE = "summary.json"

_EPILOG = """
\b
Examples:
  joulebench run examples/demo.yaml
  joulebench run examples/gsm8k-laptop.yaml --data ./data --out ./runs/gsm8k
  joulebench run bench.yaml --set spec.task.limit=20 --set spec.concurrency=4
  joulebench run bench.yaml --json > summary.json

\b
What a run leaves in its folder:
  report.html        the page that shows it all      queries.parquet   one row a question
  summary.json       the figures, versioned          turns.parquet     one row a model call
  provenance.json    what made them                  energy.parquet    the raw counter ticks
  logs/*.eval        open with `inspect view`

\b
Secrets are taken from the environment: a reference {name: openai, key: api-key} reads OPENAI_API_KEY.
Ctrl-C ends a run early and keeps what is finished; a second Ctrl-C ends it at once. Either way, and after a crash,
the same command with the same --out goes on: what is finished is not asked again.
"""


@click.command(epilog=_EPILOG, short_help="Run a benchmark on this machine.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the results. One that holds an unfinished run of the same benchmark is gone on with.  "
    "[default: runs/NAME-TIME]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with one folder a task; looked into before the hub.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Override a field of the file, such as spec.task.limit=20. May be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON and nothing else.")
@click.option(
    "--sensor",
    default="auto",
    show_default=True,
    help="Where the joules come from: auto, rapl (a hardware counter), modelled (from CPU time) or simulated.",
)
@click.option("--rapl-root", type=click.Path(path_type=Path), hidden=True, help="Another powercap tree, for tests.")
@click.option("--idle-watts", type=float, help="Modelled sensor: power of the idle machine.")
@click.option("--watts-per-core", type=float, help="Modelled sensor: additional power of each busy core.")
@click.option("--tick", metavar="TIME", help="Simulated sensor: time between two moves of a counter.  [default: 100ms]")
@click.option("--phase", metavar="TIME", help="Simulated sensor: when the counter moves within a tick.  [default: 0ms]")
@click.option("--delay", metavar="TIME", help="Simulated sensor: how old the energy is that it shows.  [default: 0ms]")
@click.option(
    "--jitter", metavar="TIME", help="Simulated sensor: by how much moves come early or late.  [default: 0ms]"
)
@click.option(
    "--meter-port", type=int, default=0, help="Port of the meter's proxy on 127.0.0.1.  [default: any free one]"
)
@click.pass_context
def run(
    context: click.Context,
    file: Path,
    *,
    out: Path | None,
    data: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    sensor: str,
    rapl_root: Path | None,
    idle_watts: float | None,
    watts_per_core: float | None,
    tick: str | None,
    phase: str | None,
    delay: str | None,
    jitter: str | None,
    meter_port: int,
) -> None:
    """Run the benchmark in FILE on this machine and print what a correct answer cost.

    FILE holds a BenchmarkRun as a cluster takes it, and the ModelServer it refers to, if any. The model server named
    by a template is started, asked and stopped; a server under `external` is used as it is.
    """
    # Imported here, so that --help and completion stay fast.
    from joulebench_runner.cli.live import live_for  # noqa: PLC0415
    from joulebench_runner.local.addresses import socket_folder  # noqa: PLC0415
    from joulebench_runner.local.attempts import choose  # noqa: PLC0415
    from joulebench_runner.local.execution import execute  # noqa: PLC0415
    from joulebench_runner.local.folder import claimed  # noqa: PLC0415
    from joulebench_runner.local.plan import LocalOptions  # noqa: PLC0415
    from joulebench_runner.local.planning import identify, load_file, plan_run  # noqa: PLC0415
    from joulebench_runner.local.storing import bring_run_back, finish_copy, working_store  # noqa: PLC0415

    loaded = load_file(file, overrides=overrides)
    named = out or Path("runs") / f"{loaded.run.metadata.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    options = LocalOptions(
        data=data,
        sensor=sensor,
        rapl_root=rapl_root,
        idle_watts=idle_watts,
        watts_per_core=watts_per_core,
        rhythm={
            name: text
            for name, text in (("tick", tick), ("phase", phase), ("delay", delay), ("jitter", jitter))
            if text is not None
        },
        meter_port=meter_port,
    )
    with claimed(named), socket_folder() as sockets:
        store = working_store(loaded, folder=named)
        bring_run_back(store, named)
        attempt = choose(named, token=loaded.run.spec.rerun_token)
        folder = attempt.folder
        run_file = identify(loaded, attempt=attempt, options=options)
        if attempt.run is not None and _finished(folder) is not None:
            finish_copy(store, folder, below=folder.relative_to(named))
        if attempt.run is not None and (code := _finished(folder)) is not None:
            _print_results(folder, as_json=as_json)
            click.secho(f"note: {folder} holds this run, complete; nothing was asked", fg="yellow", err=True)
            sys.exit(code)
        plan = plan_run(
            loaded,
            run_file=run_file,
            run_dir=folder.absolute(),
            stored_below=folder.relative_to(named),
            socket_dir=sockets,
            options=options,
        )
        for note in (*map(str, loaded.warnings), *plan.notes, *_going_on(attempt)):
            click.secho(f"note: {note}", fg="yellow", err=True)
        try:
            with live_for(sys.stderr, quiet=as_json) as live:
                code = execute(plan, on_status=live.show, on_note=live.say)
        except RunnerError as error:
            if error.exit_code is ExitCode.BAD_INPUT:
                raise
            error.remedy = _with_way_on(error.remedy, context, folder=named)
            raise
    _print_results(folder, as_json=as_json, way_on=lambda remedy: _with_way_on(remedy, context, folder=named))
    sys.exit(code)


def _going_on(attempt: "Attempt") -> Iterator[str]:
    if attempt.run is not None:
        yield f"going on with the run in {attempt.folder}; what is finished there is not asked again"
    elif attempt.number > 1:
        yield f"attempt {attempt.number} of this run is written to {attempt.folder}; the earlier ones are kept"


def _finished(folder: Path) -> int | None:
    """The exit code of a run that is complete; None for one that can be gone on with."""
    from joulebench_runner.config import MeterSettings  # noqa: PLC0415 - see above
    from joulebench_runner.local.folder import METER_SETTINGS, SETTINGS  # noqa: PLC0415
    from joulebench_runner.results import load_summary  # noqa: PLC0415
    from joulebench_runner.verdict import verdict  # noqa: PLC0415

    if not (folder / SUMMARY_FILE).exists():
        return None
    summary = load_summary(folder)
    if summary.state != "completed":
        return None
    settings = MeterSettings.read(folder / SETTINGS / METER_SETTINGS)
    return verdict("completed", energy=settings.energy, summary=summary)


def _with_way_on(remedy: str | None, context: click.Context, *, folder: Path) -> str:
    """What to do, with the command that goes on with what is there."""
    way_on = f"to go on: {command_to_go_on(context, folder=folder)}"
    return f"{remedy}\n  {way_on}" if remedy else way_on


def command_to_go_on(context: click.Context, *, folder: Path) -> str:
    """The command that was given, with the folder named."""
    words = ["joulebench", "run", str(context.params["file"])]
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if isinstance(option, click.Option) and given and option.name != "out":
            words += _as_given(option, context.params[str(option.name)])
    return shlex.join([*words, "--out", str(folder)])


def _as_given(option: click.Option, value: Any) -> Iterator[str]:
    flag = max(option.opts, key=len)
    if option.is_flag:
        yield flag
        return
    for one in value if option.multiple else (value,):
        yield from (flag, str(one))


def _print_results(
    folder: Path, *, as_json: bool, way_on: Callable[[str | None], str] = lambda remedy: remedy or ""
) -> None:
    """The table, or the summary as it is; for a run that did not end well, why and what to do."""
    from joulebench_runner.cli.table import print_summary  # noqa: PLC0415 - see above
    from joulebench_runner.results import load_summary  # noqa: PLC0415 - see above

    summary = load_summary(folder)
    if as_json:
        click.echo((folder / SUMMARY_FILE).read_text(), nl=False)
    elif summary.counts.asked:
        print_summary(summary, folder=folder)
    if summary.stored is not None and summary.stored.problem is not None:
        remedy = (
            "The results are whole in the local folder. The same command with the same --out copies what is missing."
        )
        show_error(summary.stored.problem, remedy, label="not copied")
    if summary.state != "completed":
        show_error(summary.message or "no reason was given", way_on(summary.remedy), label=summary.state)
