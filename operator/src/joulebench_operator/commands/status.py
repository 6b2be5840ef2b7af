"""`joulebench status`: how a run on a cluster stands."""

import json

import click

from joulebench_operator.commands.cluster import cluster_options, connect

_EPILOG = """
\b
Examples:
  joulebench status nightly
  joulebench status nightly -n team-a --json | jq .summary.joulesPerCorrect
  kubectl joulebench status nightly              the same, as a plugin of kubectl
"""


@click.command(epilog=_EPILOG, short_help="Say how a run on a cluster stands.")
@click.argument("run")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON and nothing else.")
def status(run: str, *, kubeconfig: str | None, context: str | None, namespace: str | None, as_json: bool) -> None:
    """Say how the BenchmarkRun RUN stands: its conditions and what to do about them, progress, stages, figures."""
    cluster = connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    found = cluster.run(run)
    if as_json:
        click.echo(json.dumps({"name": run, "namespace": cluster.namespace, **(found.get("status") or {})}, indent=2))
        return
    from joulebench_operator.commands.table import lines  # noqa: PLC0415 - keeps --help fast

    for line in lines(found):
        click.echo(line)
