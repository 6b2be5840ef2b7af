"""Addresses of stores: `file://localhost/`, `s3://`, `gs://`, `az://` and `abfss://`. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from joulebench_runner.errors import BadInputError


class Service(StrEnum):
    """What kind of store it is."""

    FILE = "file"
    S3 = "s3"
    GCS = "gs"
    AZURE = "az"


_SERVICES: Final = {
    "file": Service.FILE,
    "s3": Service.S3,
    "gs": Service.GCS,
    "gcs": Service.GCS,
    "az": Service.AZURE,
    "abfs": Service.AZURE,
    "abfss": Service.AZURE,
}
_FORMS: Final = "file://localhost/folder, s3://bucket/folder, gs://bucket/folder, az://container/folder"


@dataclass(frozen=True, kw_only=True)
class Location:
    """A folder in a store."""

    service: Service
    url: str
    root: str
    """The folder as the service's file system names it: `bucket/folder`, or an absolute path of this machine."""
    account: str | None = None
    """The Azure account, where the address names it."""


def locate(url: str) -> Location:
    """Read the address of a store. Raises BadInputError for those that we cannot use."""
    parts = urlsplit(url)
    service = _SERVICES.get(parts.scheme)
    if service is None:
        raise BadInputError(f"the store {url!r}: {parts.scheme}:// is not supported", remedy=f"use one of {_FORMS}")
    if parts.query or parts.fragment:
        raise BadInputError(
            f"the store {parts.scheme}://{parts.hostname or ''}{parts.path}: options in the address are not supported",
            remedy="name endpoint and region beside the url, and keep credentials in the environment",
        )
    root, account = _root(service, parts)
    return Location(service=service, url=url.rstrip("/"), root=root, account=account)


def _root(service: Service, parts: SplitResult) -> tuple[str, str | None]:
    path = unquote(parts.path).strip("/")
    if service is Service.FILE:
        return _local_root(parts), None
    host, account = parts.netloc, None
    if parts.scheme in {"abfs", "abfss"} and "@" in host:
        host, _, authority = host.partition("@")
        account = authority.partition(".")[0]
    if "@" in host or ":" in host:
        raise BadInputError(
            f"the store {parts.scheme}://{parts.hostname}{parts.path}: credentials and ports do not belong there",
            remedy="keep credentials in the environment, and name a server of your own in endpoint",
        )
    return "/".join(part for part in (host, path) if part), account


def _local_root(parts: SplitResult) -> str:
    if parts.netloc not in {"", "localhost"}:
        raise BadInputError(
            f"the store file://{parts.netloc}{parts.path}: {parts.netloc!r} is taken for a machine",
            remedy="write localhost before an absolute path, as in file://localhost/data/results",
        )
    return unquote(parts.path).rstrip("/") or "/"
