"""How each service is reached: its address, and the environment variables that hold its credentials. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.store.location import Location, Service

CONNECT_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 10.0
"""How long nothing at all may come or go."""

_AZURE_KEYS: Final = {
    "AZURE_STORAGE_KEY": "account_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_token",
}
_AZURE_IDENTITY: Final = {
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_CLIENT_SECRET": "client_secret",
}

VARIABLES: Final[Mapping[Service, tuple[tuple[str, ...], ...]]] = {
    Service.FILE: (),
    Service.S3: (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),),
    Service.GCS: (("GOOGLE_APPLICATION_CREDENTIALS",),),
    Service.AZURE: (("AZURE_STORAGE_KEY",), ("AZURE_STORAGE_SAS_TOKEN",), tuple(_AZURE_IDENTITY)),
}
"""The variables that hold a service's credentials: any one of the groups, all of it."""


def variables_in_words(service: Service) -> str:
    """The variables that a service's own tools read, as a phrase."""
    return ", or ".join(" and ".join(group) for group in VARIABLES[service])


def refuse_missing_credentials(location: Location, environ: Mapping[str, str]) -> None:
    """Raise BadInputError if the environment lacks what a Secret of environment names would have held."""
    groups = VARIABLES[location.service]
    if not groups or any(all(environ.get(name) for name in group) for group in groups):
        return
    raise BadInputError(
        f"spec.results.store.objectStore.credentialsSecretRef: the environment has no credentials for {location.url}",
        remedy=f"set {variables_in_words(location.service)}; or leave credentialsSecretRef out, if this machine has "
        "others",
    )


def file_system_options(location: Location, settings: StoreSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    """The arguments for the service's pyarrow file system. Raises BadInputError for what does not fit the service."""
    match location.service:
        case Service.FILE:
            return {}
        case Service.S3:
            return _s3(settings, environ)
        case Service.GCS:
            return _gcs(settings)
        case Service.AZURE:
            return _azure(location, settings, environ)


def _s3(settings: StoreSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    # Keys, profiles, roles and web identities are found by the SDK itself.
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "request_timeout": REQUEST_SECONDS}
    region = settings.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if settings.endpoint is not None:
        options |= _endpoint(settings.endpoint)
        # A server of one's own has no regions, but the signature has one in it.
        region = region or "us-east-1"
    if region:
        options["region"] = region
    if environ.get("AWS_CA_BUNDLE"):
        options["tls_ca_file_path"] = environ["AWS_CA_BUNDLE"]
    return options


def _gcs(settings: StoreSettings) -> dict[str, Any]:
    patience = {"retry_time_limit": timedelta(seconds=REQUEST_SECONDS)}
    return patience | ({} if settings.endpoint is None else _endpoint(settings.endpoint))


def _azure(location: Location, settings: StoreSettings, environ: Mapping[str, str]) -> dict[str, Any]:
    account = location.account or environ.get("AZURE_STORAGE_ACCOUNT")
    if not account:
        raise BadInputError(
            f"the store {location.url}: no Azure account is named",
            remedy="set AZURE_STORAGE_ACCOUNT, or write abfss://container@account.dfs.core.windows.net/folder",
        )
    options: dict[str, Any] = {"account_name": account}
    found = {argument: environ[name] for name, argument in _AZURE_KEYS.items() if environ.get(name)}
    identity = {argument: environ[name] for name, argument in _AZURE_IDENTITY.items() if environ.get(name)}
    if found:
        # A key and a token exclude each other; the key can do more.
        argument = "account_key" if "account_key" in found else "sas_token"
        options[argument] = found[argument]
    elif len(identity) == len(_AZURE_IDENTITY):
        options |= identity
    if settings.endpoint is not None:
        address = _endpoint(settings.endpoint)
        for api in ("blob", "dfs"):
            options[f"{api}_storage_authority"] = address["endpoint_override"]
            options[f"{api}_storage_scheme"] = address["scheme"]
    return options


def _endpoint(endpoint: str) -> dict[str, str]:
    parts = urlsplit(endpoint)
    if parts.path.strip("/"):
        raise BadInputError(
            f"spec.results.store.objectStore.endpoint: {endpoint!r} has a path",
            remedy="write the server's address alone, such as https://minio.example:9000, and folders into url",
        )
    return {"scheme": parts.scheme, "endpoint_override": parts.netloc}
