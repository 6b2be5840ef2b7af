"""Addresses of stores and what is needed to reach them; nothing is reached here."""

from datetime import timedelta
from typing import Any

import pytest

from joulebench_api.v1alpha1.storage import ObjectStore
from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.store import store_settings
from joulebench_runner.store.access import file_system_options
from joulebench_runner.store.location import Service, locate


@pytest.mark.parametrize(
    ("url", "service", "root", "account"),
    [
        ("file:///data/results/", Service.FILE, "/data/results", None),
        ("file:///data/two%20words", Service.FILE, "/data/two words", None),
        ("file://localhost/data/results", Service.FILE, "/data/results", None),
        ("s3://bench", Service.S3, "bench", None),
        ("s3://bench/a/b/", Service.S3, "bench/a/b", None),
        ("gs://bench/a", Service.GCS, "bench/a", None),
        ("gcs://bench/a", Service.GCS, "bench/a", None),
        ("az://container/a", Service.AZURE, "container/a", None),
        ("abfss://container@acme.dfs.core.windows.net/a", Service.AZURE, "container/a", "acme"),
    ],
)
def test_an_address_names_a_service_and_a_folder(url: str, service: Service, root: str, account: str | None) -> None:
    location = locate(url)
    assert (location.service, location.root, location.account) == (service, root, account)


@pytest.mark.parametrize(
    ("url", "words", "remedy"),
    [
        ("ftp://host/a", "ftp:// is not supported", "s3://bucket/folder"),
        ("file://data/results", "'data' is taken for a machine", "file://localhost/data/results"),
        ("s3://key:secret@bench/a", "credentials and ports do not belong there", "environment"),
        ("s3://bench:9000/a", "credentials and ports do not belong there", "endpoint"),
        ("s3://bench/a?endpoint_override=host&secret_key=hidden", "options in the address", "endpoint"),
    ],
)
def test_other_addresses_are_refused_without_repeating_a_secret(url: str, words: str, remedy: str) -> None:
    with pytest.raises(BadInputError) as refused:
        locate(url)
    assert words in refused.value.message
    assert remedy in (refused.value.remedy or "")
    assert "secret@" not in refused.value.message
    assert "hidden" not in refused.value.message


def options(url: str, environ: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    return file_system_options(locate(url), StoreSettings(url=url, **fields), environ or {})


def test_a_server_of_ones_own_is_reached_at_its_endpoint() -> None:
    found = options("s3://bench/a", endpoint="https://minio.example:9000")
    assert (found["scheme"], found["endpoint_override"], found["region"]) == (
        "https",
        "minio.example:9000",
        "us-east-1",
    )


def test_the_region_that_is_named_goes_before_the_environment() -> None:
    environ = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}
    assert options("s3://bench", environ, region="eu-central-2")["region"] == "eu-central-2"
    assert options("s3://bench", environ)["region"] == "eu-west-1"
    assert "region" not in options("s3://bench")


def test_no_credentials_are_passed_to_s3_or_gcs_by_us() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "GOOGLE_APPLICATION_CREDENTIALS": "/c.json"}
    assert set(options("s3://bench", environ)) == {"connect_timeout", "request_timeout"}
    assert options("gs://bench", environ) == {"retry_time_limit": timedelta(seconds=10)}


def test_a_gcs_emulator_is_reached_at_its_endpoint() -> None:
    found = options("gs://bench", endpoint="http://127.0.0.1:4443")
    assert (found["scheme"], found["endpoint_override"]) == ("http", "127.0.0.1:4443")


IDENTITY = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}


@pytest.mark.parametrize(
    ("environ", "given"),
    [
        ({}, {}),
        ({"AZURE_STORAGE_KEY": "k"}, {"account_key": "k"}),
        ({"AZURE_STORAGE_SAS_TOKEN": "sas"}, {"sas_token": "sas"}),
        ({"AZURE_STORAGE_KEY": "k", "AZURE_STORAGE_SAS_TOKEN": "sas"}, {"account_key": "k"}),
        (IDENTITY, {"tenant_id": "t", "client_id": "c", "client_secret": "s"}),
        ({"AZURE_CLIENT_ID": "managed identity"}, {}),
    ],
)
def test_azure_takes_a_key_or_a_token_or_an_identity(environ: dict[str, str], given: dict[str, str]) -> None:
    found = options("az://container/a", {"AZURE_STORAGE_ACCOUNT": "acme", **environ})
    assert found == {"account_name": "acme", **given}


def test_an_azure_emulator_is_reached_at_its_endpoint_for_both_interfaces() -> None:
    found = options("abfss://c@acme.dfs.core.windows.net/a", endpoint="http://127.0.0.1:10000")
    assert found["account_name"] == "acme"
    assert (found["blob_storage_authority"], found["dfs_storage_authority"]) == ("127.0.0.1:10000", "127.0.0.1:10000")
    assert (found["blob_storage_scheme"], found["dfs_storage_scheme"]) == ("http", "http")


def test_azure_needs_an_account() -> None:
    with pytest.raises(BadInputError) as refused:
        options("az://container/a")
    assert "AZURE_STORAGE_ACCOUNT" in (refused.value.remedy or "")


def test_an_endpoint_with_a_path_is_refused() -> None:
    with pytest.raises(BadInputError, match="has a path"):
        options("s3://bench", endpoint="https://minio.example/s3")


def test_a_run_lies_under_its_name() -> None:
    settings = store_settings(ObjectStore(url="s3://bench/nightly/"), run_name="first", environ={})
    assert settings.url == "s3://bench/nightly/first"


@pytest.mark.parametrize(
    ("url", "environ", "named"),
    [
        ("s3://bench", {}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("s3://bench", {"AWS_ACCESS_KEY_ID": "a"}, "AWS_SECRET_ACCESS_KEY"),
        ("gs://bench", {}, "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://c", {"AZURE_STORAGE_ACCOUNT": "acme"}, "AZURE_STORAGE_KEY, or AZURE_STORAGE_SAS_TOKEN, or"),
    ],
)
def test_a_secret_that_the_environment_does_not_hold_is_told_with_its_variables(
    url: str, environ: dict[str, str], named: str
) -> None:
    store = ObjectStore.model_validate({"url": url, "credentialsSecretRef": {"name": "s3"}})
    with pytest.raises(BadInputError, match="credentialsSecretRef") as refused:
        store_settings(store, run_name="first", environ=environ)
    assert named in (refused.value.remedy or "")


def test_a_secret_that_the_environment_holds_is_enough() -> None:
    store = ObjectStore.model_validate({"url": "s3://bench", "credentialsSecretRef": {"name": "s3"}})
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    assert store_settings(store, run_name="first", environ=environ).url == "s3://bench/first"
