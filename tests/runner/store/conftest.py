"""Stores to test with: a folder, and a real S3 server where one can be built."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.object_stores import BUCKET, Gate, S3Server

from joulebench_runner.config import StoreSettings
from joulebench_runner.journal.writer import Journal
from joulebench_runner.store import Store, open_store


@pytest.fixture
def bucket(s3: S3Server, credentials: None, tmp_path: Path) -> StoreSettings:
    """Settings of a prefix that no other test uses."""
    return StoreSettings(url=f"s3://{BUCKET}/{tmp_path.name}/run", endpoint=s3.endpoint)


@pytest.fixture
def gate(s3: S3Server) -> Iterator[Gate]:
    """A way to the S3 server that can be shut."""
    made = Gate(s3.port)
    yield made
    made.shut()


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """One store of each kind that can be tested here."""
    if request.param == "file":
        return open_store(StoreSettings(url=f"file://{tmp_path}/kept/run"), environ={})
    return open_store(request.getfixturevalue("bucket"), environ={})


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run's folder with what a run leaves in it; the segments hold their own names."""
    folder = tmp_path / "local"
    for name in ("journal/00000001.arrows", "journal/00000002.arrows", "settings/meter.json", "logs/driver.log",
                 "queries.parquet", "summary.json", ".lock"):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} of the run")
    return folder


@pytest.fixture
def journal_in() -> Callable[..., Journal]:
    def opened(folder: Path, **options: object) -> Journal:
        names = {"run_id": "run-1", "run_name": "run", "instance_id": "meter-1", "boot": "boot-1"}
        return Journal(folder / "journal", **(names | options))  # type: ignore[arg-type]  # of several types

    return opened
