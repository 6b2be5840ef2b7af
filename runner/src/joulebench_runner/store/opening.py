"""From what a benchmark says of its store to a store that is known to work."""

import secrets
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from joulebench_api.v1alpha1.storage import ObjectStore
from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import BadInputError, StoreError
from joulebench_runner.store.access import CONNECT_SECONDS, file_system_options, refuse_missing_credentials
from joulebench_runner.store.failures import failure
from joulebench_runner.store.location import Location, Service, locate
from joulebench_runner.store.patience import AT_THE_START, ONE_TRY, Patience
from joulebench_runner.store.store import Store

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_PROBE: Final = "joulebench-probe"


def store_settings(object_store: ObjectStore, *, run_name: str, environ: Mapping[str, str]) -> StoreSettings:
    """The run's own folder in the store, `URL/NAME`; see `settings_at`."""
    return settings_at(f"{locate(object_store.url).url}/{run_name}", object_store, environ=environ)


def settings_at(url: str, object_store: ObjectStore, *, environ: Mapping[str, str]) -> StoreSettings:
    """A folder in the store.

    Raises BadInputError for addresses that we cannot use and for credentials that the environment should hold but does
    not. Reaches for nothing.
    """
    settings = StoreSettings(
        url=url,
        endpoint=None if object_store.endpoint is None else str(object_store.endpoint),
        region=object_store.region,
    )
    location = locate(object_store.url)
    if object_store.credentials_secret_ref is not None:
        refuse_missing_credentials(location, environ)
    file_system_options(location, settings, environ)
    return settings


def open_store(settings: StoreSettings, *, environ: Mapping[str, str], patience: Patience = ONE_TRY) -> Store:
    """The store; not reached for yet, except for the region of an S3 bucket that nobody has named.

    `environ` says how it is reached; the clouds' own libraries read credentials from this process's environment.
    """
    location = locate(settings.url)
    options = file_system_options(location, settings, environ)
    try:
        return Store(_file_system(location, options), location, patience=patience)
    except OSError as error:
        raise failure(location, "reach", error) from error


def _file_system(location: Location, options: dict[str, Any]) -> "FileSystem":
    # Costs 0.1 s, which a run without a store need not pay.
    from pyarrow import fs  # noqa: PLC0415

    match location.service:
        case Service.FILE:
            return fs.LocalFileSystem()
        case Service.S3:
            # We do the waiting, and say so; the SDK tries once more for what a second try mends.
            once_more = fs.AwsStandardS3RetryStrategy(max_attempts=2)
            # Opened late, a small file is one request, not the three of an upload in parts.
            return fs.S3FileSystem(retry_strategy=once_more, allow_delayed_open=True, **_with_region(location, options))  # type: ignore[call-arg]  # unknown to the stubs
        case Service.GCS:
            return fs.GcsFileSystem(**options)
        case Service.AZURE:
            return fs.AzureFileSystem(**options)


def _with_region(location: Location, options: dict[str, Any]) -> dict[str, Any]:
    from pyarrow.fs import resolve_s3_region  # noqa: PLC0415 - see above

    if "region" in options:
        return options
    return options | {"region": resolve_s3_region(location.root.partition("/")[0])}


def check_reachable(settings: StoreSettings, *, patience: Patience) -> None:
    """Whether somebody listens at the endpoint that the settings name; nothing is looked at if they name none.

    The SDK of S3 first asks the cloud's own addresses for a region and for keys, for half a minute where there is no
    such cloud. Raises BadInputError.
    """
    if settings.endpoint is None or locate(settings.url).service is not Service.S3:
        return
    parts = urlsplit(settings.endpoint)
    address = (parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))
    try:
        patience.call(lambda: socket.create_connection(address, CONNECT_SECONDS).close(), is_passing=lambda _: True)
    except OSError as error:
        raise BadInputError(
            f"spec.results.store.objectStore.endpoint: no connection to {settings.endpoint}: {error.strerror or error}",
            remedy="Check the endpoint and the network.",
        ) from error


def check_writable(store: Store, *, run_dir: Path) -> None:
    """Write a small file, look at it, remove it.

    Raises BadInputError where that fails, and where the store is `run_dir` itself.
    """
    if store.location.service is Service.FILE and Path(store.location.root).resolve() == run_dir.resolve():
        raise BadInputError(
            f"spec.results.store.objectStore.url: {store.url} is the run's own folder",
            remedy="name another folder there, or another one with --out",
        )
    try:
        _probe(store.with_patience(AT_THE_START))
    except StoreError as error:
        raise BadInputError(f"spec.results.store.objectStore: {error.message}", remedy=error.remedy) from error


def _probe(store: Store) -> None:
    # A name of its own, so that two who look at the same time do not remove each other's.
    name = f"{_PROBE}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="joulebench-") as folder:
        source = Path(folder) / _PROBE
        source.write_text("joulebench can write here\n")
        store.put(source, name)
    found = store.exists(name)
    store.delete(name)
    if not found:
        raise StoreError(
            f"{store.url} took a file and does not show it",
            remedy="Check that the credentials may list and read, not only write.",
        )
