"""The command `joulebench-operator`."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import click

from joulebench_operator import __version__
from joulebench_operator.errors import BadOptionError, OperatorError

PREFIX: Final = "JOULEBENCH_OPERATOR"
"""Of the variables that flags may stand in."""

_EPILOG: Final = """\
Every flag can stand in the environment: JOULEBENCH_OPERATOR_CONFIG, JOULEBENCH_OPERATOR_WATCH_NAMESPACES, ...

The cluster is the one it runs in, else the one of KUBECONFIG.

Exit status: 0 stopped by a signal, 1 failed or lost its lease (start it again), 2 could not start as told.
"""


@click.command(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": PREFIX},
)
@click.option("--config", type=click.Path(path_type=Path), help="File with the OperatorConfiguration.")
@click.option("--watch-namespaces", default="", metavar="A,B", help="Only these namespaces; all by default.")
@click.option("--metrics-listen", default=":9782", show_default=True, metavar="HOST:PORT", help="For /metrics.")
@click.option(
    "--probes-listen", default=":9783", show_default=True, metavar="HOST:PORT", help="For /healthz and /readyz."
)
@click.option("--leader-elect/--no-leader-elect", default=True, show_default=True, help="Whether replicas take turns.")
@click.option("--lease-namespace", metavar="NAMESPACE", help="Where the Lease is; needed with --leader-elect.")
@click.option("--lease-name", default="joulebench-operator", show_default=True, help="What the Lease is called.")
@click.option("--identity", metavar="NAME", help="This replica's name; the pod's by default.")
@click.option("--exporter-namespace", metavar="NAMESPACE", help="Where the energy exporter's DaemonSet is.")
@click.option("--exporter-audience", default="joulebench-exporter", show_default=True, help="Of the tokens for it.")
@click.option("--exporter-port", default=9780, show_default=True, help="Of the exporter's gRPC service.")
@click.option(
    "--exporter-token-file",
    type=click.Path(path_type=Path),
    help="The operator's own token for that audience, read whenever an exporter is asked who has its devices.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="PART=IMAGE",
    help="Image of a part of this release: runner, or an engine such as LlamaCpp. May be repeated (in the variable:"
    " separated by spaces).",
)
@click.option(
    "--log-format",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="Form of the logs on stderr.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="From which level on.",
)
@click.version_option(__version__, prog_name="joulebench-operator")
def main(
    *,
    config: Path | None,
    watch_namespaces: str,
    metrics_listen: str,
    probes_listen: str,
    leader_elect: bool,
    lease_namespace: str | None,
    lease_name: str,
    identity: str | None,
    exporter_namespace: str | None,
    exporter_audience: str,
    exporter_port: int,
    exporter_token_file: Path | None,
    images: tuple[str, ...],
    log_format: str,
    log_level: str,
) -> None:
    """Turn BenchmarkRuns and ModelServers into deployments, jobs and status.

    It holds no state of its own: stop it at any time; what it made goes on, and the next start finds its way. Nothing
    that is deleted ever waits for it.
    """
    from joulebench_operator import configuration, logs, process  # noqa: PLC0415 - --help needs none of these
    from joulebench_operator.leadership import Candidacy  # noqa: PLC0415
    from joulebench_operator.options import Options  # noqa: PLC0415
    from joulebench_operator.runs.controller import RunController  # noqa: PLC0415
    from joulebench_operator.servers.controller import ServerController  # noqa: PLC0415

    logs.configure(log_level, form=log_format)
    name = identity or process.identity()
    try:
        options = Options(
            config=config,
            watch_namespaces=tuple(part.strip() for part in watch_namespaces.split(",") if part.strip()),
            metrics_listen=_address("--metrics-listen", metrics_listen),
            probes_listen=_address("--probes-listen", probes_listen),
            candidacy=Candidacy(_lease(lease_namespace), lease_name, name) if leader_elect else None,
            identity=name,
            exporter_namespace=exporter_namespace,
            exporter_audience=exporter_audience,
            exporter_port=exporter_port,
            exporter_token_file=exporter_token_file,
            images=dict(map(_image, images)),
        )
        controllers = (ServerController(), RunController())
        status = asyncio.run(process.run(options, configuration.read(config), controllers=controllers))
    except BadOptionError as error:
        click.echo(f"joulebench-operator: {error}", err=True)
        sys.exit(2)
    except OperatorError as error:
        click.echo(f"joulebench-operator: {error}", err=True)
        sys.exit(1)
    sys.exit(status)


def _lease(namespace: str | None) -> str:
    if not namespace:
        raise BadOptionError("--lease-namespace: missing", remedy="Name one, or give --no-leader-elect.")
    return namespace


def _image(text: str) -> tuple[str, str]:
    part, equals, image = text.partition("=")
    if not (part and equals and image):
        raise BadOptionError(f"--image {text}: not PART=IMAGE", remedy="Write --image runner=REGISTRY/NAME:TAG.")
    return part, image


def _address(flag: str, text: str) -> str:
    _, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise BadOptionError(f"{flag} {text}: not HOST:PORT", remedy="Write :9782, 127.0.0.1:9782 or [::1]:9782.")
    return text
