"""`joulebench download`: a run's results from an object store."""

import os
from pathlib import Path

import click

from joulebench_runner.errors import BadInputError

_EPILOG = """
\b
Examples:
  joulebench download s3://bench/runs/nightly --to runs/nightly
  joulebench download s3://bench/nightly --to nightly --endpoint https://minio.example:9000
  joulebench show runs/nightly

\b
Credentials come from the environment, as for runs that store there: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ...
"""


@click.command(epilog=_EPILOG, short_help="Copy a run's results from an object store.")
@click.argument("url")
@click.option("--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to fill.")
@click.option("--endpoint", help="A server that is not the cloud's own, such as MinIO's address.")
@click.option("--region", help="Of S3.  [default: AWS_REGION, or asked of AWS]")
def download(url: str, *, folder: Path, endpoint: str | None, region: str | None) -> None:
    """Copy the results at URL (one run's folder in s3://, gs://, az://, abfss:// or file://) to this machine."""
    from joulebench_runner.config import StoreSettings  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.store.bringing import bring_all  # noqa: PLC0415
    from joulebench_runner.store.opening import open_store  # noqa: PLC0415

    if folder.exists() and any(folder.iterdir()):
        raise BadInputError(f"--to: {folder} is not empty", remedy="name a folder that is empty or not there yet")
    store = open_store(StoreSettings(url=url, endpoint=endpoint, region=region), environ=os.environ)
    click.echo(f"{folder}: {bring_all(store, folder)} files from {store.url}", err=True)
