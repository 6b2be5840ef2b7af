"""A store does what a folder does, wherever it is."""

import errno
import os
from pathlib import Path

import pytest
from tests.object_stores import CREDENTIALS, S3Server, free_port

from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import BadInputError, StoreError
from joulebench_runner.store import Store, check_reachable, check_writable, open_store, upload
from joulebench_runner.store.patience import ONE_TRY, Patience


def test_what_was_put_is_listed_and_had_again(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    store.put(source, "logs/2026-11-21T10-00-00+00-00_a b.eval")
    assert store.list() == {"logs/2026-11-21T10-00-00+00-00_a b.eval": 100_000}
    store.get("logs/2026-11-21T10-00-00+00-00_a b.eval", tmp_path / "new" / "target")
    assert (tmp_path / "new" / "target").read_bytes() == source.read_bytes()


def test_a_large_file_arrives_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(20_000_001))
    store.put(source, "energy.parquet")
    assert store.holds(source, "energy.parquet")


def test_putting_twice_is_putting_once(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for text in ("first, and longer", "second", "second"):
        source.write_text(text)
        store.put(source, "summary.json")
    assert store.list() == {"summary.json": 6}
    assert store.holds(source, "summary.json")


def test_an_empty_store_has_nothing(store: Store, tmp_path: Path) -> None:
    assert store.list() == {}
    assert not store.exists("summary.json")
    store.delete("summary.json")
    with pytest.raises(StoreError, match=r"cannot read summary.json from"):
        store.get("summary.json", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_file_of_the_same_size_is_not_taken_for_the_same(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    store.put(source, "a")
    source.write_text("two")
    assert not store.holds(source, "a")


def test_looking_whether_it_can_be_written_leaves_nothing(store: Store, tmp_path: Path) -> None:
    check_writable(store, run_dir=tmp_path / "local")
    assert store.list() == {}


def test_an_upload_takes_everything_but_hidden_files(store: Store, run_folder: Path) -> None:
    upload(store, run_folder)
    assert set(store.list()) == {
        "journal/00000001.arrows", "journal/00000002.arrows", "settings/meter.json", "logs/driver.log",
        "queries.parquet", "summary.json",
    }  # fmt: skip


def test_the_summary_comes_last(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(StoreSettings(url=f"file://{tmp_path}/kept"), environ={})
    order: list[str] = []
    put = Store.put

    def recording(self: Store, source: Path, name: str) -> None:
        order.append(name)
        put(self, source, name)

    monkeypatch.setattr(Store, "put", recording)
    upload(store, run_folder)
    assert order[:2] == ["journal/00000001.arrows", "journal/00000002.arrows"]
    assert order[-1] == "summary.json"


def test_a_second_upload_copies_what_the_first_could_not(store: Store, run_folder: Path) -> None:
    store.put(run_folder / "journal/00000001.arrows", "journal/00000001.arrows")
    upload(store, run_folder)
    assert len(store.list()) == 6


def test_another_segment_of_the_same_name_is_never_replaced(store: Store, run_folder: Path) -> None:
    upload(store, run_folder)
    (run_folder / "journal/00000002.arrows").write_text("what another machine wrote")
    with pytest.raises(StoreError, match=r"journal/00000002\.arrows is one thing in") as refused:
        upload(store, run_folder)
    assert "--out" in (refused.value.remedy or "")


def test_a_disk_that_is_full_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(StoreSettings(url=f"file://{tmp_path}/kept"), environ={})
    (tmp_path / "source").write_text("text")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        store.put(tmp_path / "source", "a")
    assert "room" in (caught.value.remedy or "")
    assert list((tmp_path / "kept").iterdir()) == []


def test_the_runs_own_folder_is_no_store(tmp_path: Path) -> None:
    store = open_store(StoreSettings(url=f"file://{tmp_path}/runs/first"), environ={})
    with pytest.raises(BadInputError, match="is the run's own folder"):
        check_writable(store, run_dir=tmp_path / "runs" / "first")


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    store = open_store(StoreSettings(url=f"file://{tmp_path}/kept/run"), environ={})
    with pytest.raises(BadInputError, match=r"spec\.results\.store\.objectStore: cannot write") as refused:
        check_writable(store, run_dir=tmp_path / "local")
    assert refused.value.remedy


def test_a_bucket_that_is_not_there_is_told(s3: S3Server, credentials: None, tmp_path: Path) -> None:
    store = open_store(StoreSettings(url="s3://nobody/run", endpoint=s3.endpoint), environ={})
    with pytest.raises(BadInputError, match="NO_SUCH_BUCKET") as refused:
        check_writable(store, run_dir=tmp_path)
    assert "Create 'nobody'" in (refused.value.remedy or "")


def test_an_endpoint_where_nobody_listens_is_told_before_anything_else_is_asked() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    settings = StoreSettings(url="s3://bench/runs", endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BadInputError, match=r"objectStore\.endpoint: no connection to http.*refused") as refused:
        check_reachable(settings, patience=Patience(seconds=5, clock=lambda: now, sleep=sleep))
    assert refused.value.remedy
    assert now <= 5


def test_an_endpoint_that_listens_is_good(s3: S3Server) -> None:
    check_reachable(StoreSettings(url="s3://bench/runs", endpoint=s3.endpoint), patience=ONE_TRY)


@pytest.mark.parametrize("url", ["s3://bench/runs", "gs://bench/runs"])
def test_without_an_endpoint_of_s3_nobody_is_looked_for(url: str) -> None:
    endpoint = None if url.startswith("s3") else f"http://127.0.0.1:{free_port()}"
    check_reachable(StoreSettings(url=url, endpoint=endpoint), patience=ONE_TRY)


@pytest.mark.parametrize("variable", CREDENTIALS)
def test_wrong_credentials_are_told_with_their_variables_and_without_their_values(
    variable: str, bucket: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "something-wrong")
    store = open_store(bucket, environ={})
    with pytest.raises(BadInputError) as refused:
        check_writable(store, run_dir=tmp_path)
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in (refused.value.remedy or "")
    assert not any(value in str(refused.value) for value in CREDENTIALS.values())


def test_a_server_that_is_away_is_told(credentials: None, tmp_path: Path) -> None:
    settings = StoreSettings(url="s3://bench/run", endpoint=f"http://127.0.0.1:{free_port()}")
    store = open_store(settings, environ={}, patience=Patience(seconds=0))
    with pytest.raises(StoreError, match="cannot list") as caught:
        store.list()
    assert "endpoint" in (caught.value.remedy or "")
