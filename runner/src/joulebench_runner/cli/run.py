"""`joulebench run`: a benchmark on this machine, from the file to the table."""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from joulebench_runner.cli.words import show_error

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
Ctrl-C ends a run early and keeps what is finished; a second Ctrl-C ends it at once.
"""


@click.command(epilog=_EPILOG, short_help="Run a benchmark on this machine.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the results, new or empty.  [default: runs/NAME-TIME]",
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
    help="Where the joules come from: auto, rapl (a hardware counter) or modelled (from CPU time).",
)
@click.option("--rapl-root", type=click.Path(path_type=Path), hidden=True, help="Another powercap tree, for tests.")
@click.option("--idle-watts", type=float, help="Modelled sensor: power of the idle machine.")
@click.option("--watts-per-core", type=float, help="Modelled sensor: additional power of each busy core.")
@click.option(
    "--meter-port", type=int, default=0, help="Port of the meter's proxy on 127.0.0.1.  [default: any free one]"
)
def run(
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
    meter_port: int,
) -> None:
    """Run the benchmark in FILE on this machine and print what a correct answer cost.

    FILE holds a BenchmarkRun as a cluster takes it, and the ModelServer it refers to, if any. The model server named
    by a template is started, asked and stopped; a server under `external` is used as it is.
    """
    # Imported here, so that --help and completion stay fast.
    from joulebench_runner.cli.live import live_for  # noqa: PLC0415
    from joulebench_runner.local.execution import execute  # noqa: PLC0415
    from joulebench_runner.local.folder import claimed  # noqa: PLC0415
    from joulebench_runner.local.plan import LocalOptions  # noqa: PLC0415
    from joulebench_runner.local.planning import load_file, plan_run  # noqa: PLC0415

    loaded = load_file(file, overrides=overrides)
    folder = out or Path("runs") / f"{loaded.run.metadata.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    options = LocalOptions(
        data=data,
        sensor=sensor,
        rapl_root=rapl_root,
        idle_watts=idle_watts,
        watts_per_core=watts_per_core,
        meter_port=meter_port,
    )
    with claimed(folder), tempfile.TemporaryDirectory(prefix="joulebench-") as sockets:
        plan = plan_run(loaded, run_dir=folder.absolute(), socket_dir=Path(sockets), options=options)
        for note in (*map(str, loaded.warnings), *plan.notes):
            click.secho(f"note: {note}", fg="yellow", err=True)
        with live_for(sys.stderr, quiet=as_json) as live:
            code = execute(plan, on_status=live.show)
    _print_results(folder, as_json=as_json)
    sys.exit(code)


def _print_results(folder: Path, *, as_json: bool) -> None:
    from joulebench_runner.cli.table import print_summary  # noqa: PLC0415 - see above
    from joulebench_runner.results import load_summary  # noqa: PLC0415 - see above

    summary = load_summary(folder)
    if as_json:
        click.echo((folder / SUMMARY_FILE).read_text(), nl=False)
    elif summary.counts.asked:
        print_summary(summary, folder=folder)
    if summary.state != "completed":
        show_error(summary.message or "no reason was given", summary.remedy, label=summary.state)
