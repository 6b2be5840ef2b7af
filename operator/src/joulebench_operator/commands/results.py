"""`joulebench results`: brings a run's results from where the cluster keeps them."""

import hashlib
import shutil
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import click

from joulebench_operator.commands.cluster import Cluster, cluster_options, connect
from joulebench_operator.commands.errors import BadRequestError, CommandError
from joulebench_operator.commands.location import claim_folder, is_claim, results_url
from joulebench_operator.objects import Object

SUMMARY: Final = "summary.json"
READ_SECONDS: Final = 600
_EPILOG = """
\b
Examples:
  joulebench results nightly                     into runs/nightly
  joulebench results nightly --to ./nightly && joulebench show ./nightly
  joulebench results nightly --url               only say where they are

\b
From a claim they are brought by a short-lived pod that can read it and nothing else; it is made with your own rights
(pods: create, get, delete; pods/exec: create). From an object store they are brought as by `joulebench download`, with
the credentials of your environment.
"""


@click.command(epilog=_EPILOG, short_help="Bring the results of a run on a cluster.")
@click.argument("run")
@cluster_options
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Folder to make.  [default: runs/RUN]")
@click.option("--attempt", type=click.IntRange(min=1), help="Results of this attempt.  [default: the last one]")
@click.option("--url", "url_only", is_flag=True, help="Print where they are, and bring nothing.")
@click.option("--image", help="What the pod runs; it needs `tar`.  [default: the run's own image]")
@click.option(
    "--timeout",
    "seconds",
    type=click.IntRange(min=10),
    default=READ_SECONDS,
    show_default=True,
    help="Seconds after which the pod ends by itself.",
)
def results(
    run: str,
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    to: Path | None,
    attempt: int | None,
    url_only: bool,
    image: str | None,
    seconds: int,
) -> None:
    """Bring the results of the BenchmarkRun RUN into a folder, as `joulebench run` would have written them there."""
    cluster = connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    found = cluster.run(run)
    url = results_url(found, attempt=attempt)
    if url_only:
        click.echo(url)
        return
    target = to or Path("runs") / run
    bring(cluster, found, url, target, image=image, seconds=seconds)
    files = [path for path in target.rglob("*") if path.is_file()]
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    click.echo(f"{target}: {len(files)} files, {size_mb:.1f} MB from {url}")


def bring_named(name: str, target: Path) -> None:
    """The results of `RUN` or `NAMESPACE/RUN` of the current context, for commands that take `brun/...`."""
    namespace, _, run = name.rpartition("/")
    cluster = connect(kubeconfig=None, context=None, namespace=namespace or None)
    found = cluster.run(run)
    bring(cluster, found, results_url(found), target)


def bring(
    cluster: Cluster, run: Object, url: str, target: Path, *, image: str | None = None, seconds: int = READ_SECONDS
) -> None:
    """Copy what is at `url` to `target`: all of it, or nothing. Raises CommandError."""
    if target.exists() and any(target.iterdir()):
        raise BadRequestError(f"--to: {target} is not empty", remedy="name a folder that is empty or not there yet")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        if is_claim(url):
            _from_claim(cluster, run, url, draft, image=image, seconds=seconds)
        else:
            _from_store(run, url, draft)
        _check(run, url, draft)
        draft.chmod(0o755)
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _from_claim(cluster: Cluster, run: Object, url: str, draft: Path, *, image: str | None, seconds: int) -> None:
    from joulebench_operator.commands.reader import reader_image  # noqa: PLC0415 - keeps --help fast
    from joulebench_operator.commands.reading import bring_claim  # noqa: PLC0415
    from joulebench_operator.names import RUN_LABEL  # noqa: PLC0415

    found = claim_folder(url)
    own = Cluster(cluster.client, found.namespace)
    chosen = reader_image(run, own.pods({RUN_LABEL: run["metadata"]["name"]}), asked=image)
    bring_claim(own, run, found, draft, image=chosen, seconds=seconds)


def _from_store(run: Object, url: str, draft: Path) -> None:
    """By the command line's own `download`, which knows stores; it is found as commands are, by its entry point."""
    known = {point.name: point for point in entry_points(group="joulebench.commands")}
    if "download" not in known:
        raise CommandError(f"the results are at {url}", remedy="copy them with the store's own tools")
    command: click.Command = known["download"].load()
    command.main([url, f"--to={draft}", *_store_options(run)], standalone_mode=False)


def _store_options(run: Object) -> list[str]:
    store: dict[str, Any] = ((run["spec"].get("results") or {}).get("store") or {}).get("objectStore") or {}
    return [f"--{name}={store[name]}" for name in ("endpoint", "region") if store.get(name)]


def _check(run: Object, url: str, draft: Path) -> None:
    """The summary must be the one that the status tells the hash of."""
    told = (run.get("status") or {}).get("results") or {}
    if told.get("url") != url or not told.get("sha256"):
        return
    summary = draft / SUMMARY
    if not summary.is_file() or hashlib.sha256(summary.read_bytes()).hexdigest() != told["sha256"]:
        raise CommandError(
            f"{url}: {SUMMARY} is not the one that the run has written (its sha256 is in status.results)",
            remedy="somebody has changed the results; `--attempt` brings those of another attempt",
        )
