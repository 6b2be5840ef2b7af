"""Where the control groups of pods are, and that their coming and going is told: real inotify on folders of a test."""

import asyncio
import errno
import sys
from pathlib import Path

import pytest

from joulebench_exporter import pod_groups
from joulebench_exporter.inotify import Inotify
from joulebench_exporter.pod_groups import PodChanges, folders_of_pods

CGROUPFS = ("kubepods", "kubepods/burstable", "kubepods/besteffort")
SYSTEMD = (
    "kubepods.slice",
    "kubepods.slice/kubepods-burstable.slice",
    "kubepods.slice/kubepods-besteffort.slice",
)
KIND = (
    "kubelet.slice/kubelet-kubepods.slice",
    "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice",
    "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice",
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def tree(root: Path, *groups: str) -> Path:
    """Control groups, each with the list of its processes."""
    root.mkdir(exist_ok=True)
    (root / "cgroup.procs").touch()
    for group in groups:
        folder = root
        for part in group.split("/"):
            folder = folder / part
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.procs").touch()
    return root


def found(root: Path) -> set[str]:
    return {str(folder.relative_to(root)) for folder in folders_of_pods(root)}


async def told(changes: PodChanges) -> None:
    """Wait for a change, and take it."""
    async with asyncio.timeout(20):
        await changes.wait()
    assert changes.taken()


# --- where they are ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [CGROUPFS, SYSTEMD, KIND], ids=["cgroupfs", "systemd", "systemd below another"])
def test_the_folders_of_all_pods_are_found(tmp_path: Path, groups: tuple[str, ...]) -> None:
    pods = (f"{groups[0]}/pod1", f"{groups[1]}/kubepods-burstable-pod2.slice")
    others = (f"{pods[1]}/cri-containerd-3.scope", f"{pods[0]}/4", "system.slice/kubelet.service", "user.slice")
    assert found(tree(tmp_path, *groups, *pods, *others)) == {*groups, *pods}


def test_they_may_be_below_another_group(tmp_path: Path) -> None:
    groups = [f"tests/node{number}/{group}" for number in range(2) for group in CGROUPFS]
    assert found(tree(tmp_path, *groups)) == set(groups)


def test_of_several_trees_the_first_that_has_pods_is_enough(tmp_path: Path) -> None:
    for controller, groups in {"blkio": ("system.slice",), "cpu": CGROUPFS, "memory": CGROUPFS}.items():
        tree(tmp_path / controller, *groups)
    (tmp_path / "alias").symlink_to(tmp_path / "memory")
    assert found(tmp_path) == {f"cpu/{group}" for group in CGROUPFS}


def test_the_folder_of_all_pods_may_be_named_itself(tmp_path: Path) -> None:
    root = tree(tmp_path, *SYSTEMD) / "kubepods.slice"
    assert found(root) == {".", "kubepods-burstable.slice", "kubepods-besteffort.slice"}


@pytest.mark.parametrize("groups", [(), ("system.slice/containerd.service/kubepods",), ("a/b/c/d/kubepods",)])
def test_processes_of_others_are_not_looked_through(tmp_path: Path, groups: tuple[str, ...]) -> None:
    assert found(tree(tmp_path, *groups)) == set()


def test_where_there_is_no_such_folder_there_are_no_pods(tmp_path: Path) -> None:
    assert folders_of_pods(tmp_path / "nothing") == []


# --- what is told -----------------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("groups", [CGROUPFS, SYSTEMD, KIND], ids=["cgroupfs", "systemd", "systemd below another"])
async def test_every_pod_that_comes_and_goes_is_told(tmp_path: Path, groups: tuple[str, ...]) -> None:
    with PodChanges(tree(tmp_path, *groups)) as changes:
        changes.look()
        assert changes.problem == ""
        assert not changes.taken()
        for group in groups:
            (tmp_path / group / "pod1").mkdir()
            await told(changes)
            (tmp_path / group / "pod1").rmdir()
            await told(changes)


@linux_only
@pytest.mark.parametrize("pod", ["kubepods/burstable/pod1", "kubepods.slice/kubepods-pod1.slice"])
async def test_containers_of_a_pod_are_told_and_what_happens_in_them_is_not(tmp_path: Path, pod: str) -> None:
    with PodChanges(tree(tmp_path, pod)) as changes:
        changes.look()
        (tmp_path / pod / "container").mkdir()
        await told(changes)
        changes.look()
        (tmp_path / pod / "container" / "deeper").mkdir()
        (tmp_path / pod / "container" / "deeper").rmdir()
        for _ in range(3):
            await asyncio.sleep(0)  # a turn of the loop, in which it would be told
        assert not changes.taken()
        (tmp_path / pod / "container").rmdir()
        await told(changes)


@linux_only
async def test_folders_that_appear_later_are_watched_after_the_next_look(tmp_path: Path) -> None:
    with PodChanges(tree(tmp_path)) as changes:
        changes.look()
        assert changes.problem == f"there is no control group kubepods in {tmp_path}"
        tree(tmp_path, "kubepods")
        changes.look()
        assert changes.problem == ""
        tree(tmp_path, "kubepods/burstable")
        await told(changes)
        changes.look()
        (tmp_path / "kubepods" / "burstable" / "pod1").mkdir()
        await told(changes)


@linux_only
async def test_folders_that_go_and_come_back_are_watched_again(tmp_path: Path) -> None:
    with PodChanges(tree(tmp_path, "kubepods/besteffort")) as changes:
        changes.look()
        (tmp_path / "kubepods" / "besteffort" / "cgroup.procs").unlink()
        (tmp_path / "kubepods" / "besteffort").rmdir()
        await told(changes)
        changes.look()
        tree(tmp_path, "kubepods/besteffort")
        await told(changes)
        changes.look()
        (tmp_path / "kubepods" / "besteffort" / "pod1").mkdir()
        await told(changes)


@linux_only
async def test_more_changes_than_the_queue_holds_are_a_change(tmp_path: Path) -> None:
    with PodChanges(tree(tmp_path, "kubepods")) as changes:
        changes.look()
        pod = tmp_path / "kubepods" / "pod1"
        for _ in range(_queue_size() // 2 + 1):
            pod.mkdir()
            pod.rmdir()
        await told(changes)
        pod.mkdir()
        await told(changes)


def _queue_size() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


async def test_without_inotify_it_is_said_and_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with PodChanges(tree(tmp_path, *CGROUPFS)) as changes:
        with monkeypatch.context() as patched:
            patched.setattr(pod_groups, "Inotify", none_left)
            changes.look()
        assert changes.problem == "the control groups of pods cannot be watched: Too many open files"


@linux_only
async def test_inotify_that_is_to_be_had_later_is_used_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PodChanges(tree(tmp_path, *CGROUPFS)) as changes:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "platform", "darwin")
            changes.look()
        assert changes.problem == "the control groups of pods cannot be watched: this system has no inotify"
        changes.look()
        assert changes.problem == ""
        (tmp_path / "kubepods" / "pod1").mkdir()
        await told(changes)


@linux_only
async def test_too_many_watches_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_inotify: object, _folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Inotify, "watch", none_left)
    with PodChanges(tree(tmp_path, *CGROUPFS)) as changes:
        changes.look()
        assert changes.problem == "the control groups of pods cannot be watched: No space left on device"


async def test_who_does_not_want_it_is_told_nothing(tmp_path: Path) -> None:
    tree(tmp_path, *CGROUPFS)
    with PodChanges(None) as changes:
        changes.look()
        assert changes.problem == "the control groups of pods are not watched"


@linux_only
async def test_nothing_stays_open(tmp_path: Path) -> None:
    open_before = _open_files()
    with PodChanges(tree(tmp_path, *CGROUPFS)) as changes:
        changes.look()
    assert _open_files() == open_before


def _open_files() -> list[str]:
    return sorted(one.name for one in Path("/proc/self/fd").iterdir())
