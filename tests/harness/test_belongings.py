"""What is kept, and what is known of it later: records, processes, programs and images."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster import binaries, machine, record
from tests.cluster.binaries import Module
from tests.cluster.cluster import Cluster
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError, NotPossibleHereError
from tests.cluster.images.archive import write_image


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("JOULEBENCH_CACHE", str(tmp_path))
    return tmp_path / "cluster"


@pytest.fixture
def ended() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended and was not reaped yet."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process


linux = pytest.mark.skipif(sys.platform != "linux", reason="the cluster runs on Linux only")


@linux
def test_a_record_is_read_back_as_it_was_written() -> None:
    written = record.new_record("mine", stays=False)
    written.namespaces.append("joulebench-mine-node0")
    written.daemons["etcd"] = record.daemon("etcd", os.getpid(), ["etcd", "--x"])
    written.save()

    assert record.read("mine") == written
    assert record.all_records() == [written]
    assert record.read("other") is None


@linux
def test_a_cluster_is_left_over_once_its_process_is_gone() -> None:
    mine = record.new_record("mine", stays=False)
    stays = record.new_record("stays", stays=True)
    assert not mine.is_leftover
    assert not stays.is_leftover

    mine.owner_start_ticks -= 1

    assert mine.is_leftover, "another process has the number of the one that is gone"


@linux
def test_a_process_runs_until_it_ended_even_if_nobody_reaped_it(ended: subprocess.Popen[bytes]) -> None:
    assert record.daemon("me", os.getpid(), []).runs
    assert not record.daemon("gone", ended.pid, []).runs


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 32, "../a"])
def test_a_name_that_cannot_be_is_told(name: str) -> None:
    with pytest.raises(ClusterError, match="is no name for a cluster"):
        Cluster(name)


def test_a_cluster_that_is_not_there_is_told() -> None:
    with pytest.raises(ClusterError, match="there is no cluster 'mine'; `make cluster` starts one"):
        Cluster.attach("mine")


# --- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(ClusterError, match=r"ended with exit code 3: no luck"):
        run(["sh", "-c", "echo no luck >&2; exit 3"])


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(ClusterError, match="there is no command joulebench-absent"):
        run(["joulebench-absent"])


# --- machine ----------------------------------------------------------------------------------------------------------


def test_without_root_the_reason_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(NotPossibleHereError, match=r"it needs root .*, and this is user 1000"):
        machine.require()


def test_another_system_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert machine.shortcomings() == ["needs Linux, and this is darwin"]


@linux
def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "NEEDED_MEMORY_MIB", 10**9)
    monkeypatch.setattr(machine, "NEEDED_DISK_MIB", 10**9)
    monkeypatch.setattr(machine, "NEEDED_DISK_MIB_TO_BUILD", 10**9)
    monkeypatch.setattr(machine, "PACKAGES", {"runc": "/absent/runc"})
    monkeypatch.setenv("PATH", "/absent")

    told = "\n".join(machine.shortcomings())

    for words in ("Debian packages runc", "no `go` in PATH", "MiB of disk in", "MiB of memory"):
        assert words in told


def test_a_cache_that_nodes_hide_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cache_folder", lambda: Path("/var/lib/x"))

    (told,) = machine._folders()

    assert "set JOULEBENCH_CACHE elsewhere" in told


# --- programs and images ----------------------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """A module whose builds are counted instead of compiled."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "go.mod").write_text("module small\n")
    monkeypatch.setattr(binaries, "COMPONENTS", tmp_path)
    monkeypatch.setattr(binaries, "_go_version", lambda: "go1")

    def build(built: Module, folder: Path) -> None:
        folder.mkdir(parents=True)
        with (tmp_path / "builds").open("a") as file:
            file.write("built\n")

    monkeypatch.setattr(binaries, "_build", build)
    return Module("small", programs=("small",))


def _builds(tmp_path: Path) -> int:
    return len((tmp_path / "builds").read_text().splitlines())


def test_a_module_is_built_once_until_it_changes(module: Module, tmp_path: Path) -> None:
    first = binaries.built(module)
    assert binaries.built(module) == first
    assert _builds(tmp_path) == 1

    (tmp_path / "small" / "go.mod").write_text("module small\n\ngo 1.26.0\n")
    binaries._content.cache_clear()

    assert binaries.built(module) != first
    assert _builds(tmp_path) == 2


def test_the_flags_count_as_content(module: Module) -> None:
    assert binaries.built(module) != binaries.built(Module("small", programs=("small",), linker_flags="-X a=b"))


def test_an_image_s_blobs_are_named_by_their_digests(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    write_image(archive, image="localhost/x:1", layer=b"layer", entrypoint=["/x"])

    with tarfile.open(archive) as tar:
        index = json.loads(_content(tar, "index.json"))
        (described,) = index["manifests"]
        manifest = json.loads(_content(tar, f"blobs/sha256/{described['digest'].removeprefix('sha256:')}"))
        config = json.loads(_content(tar, f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"))

    assert described["annotations"]["io.containerd.image.name"] == "localhost/x:1"
    assert config["config"] == {"Entrypoint": ["/x"]}


def _content(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()
