"""The control groups of pods, as the sign that pods come and go.

The kubelet makes a group for each pod after it has given it its devices. Then it prepares the pod's resource claims and
has groups made in it for its containers, that of the sandbox before all others. Containers that end take their groups
with them, and the pod's own goes after its volumes. All pods' groups are in one folder, and in two more in that one:

    kubepods                    by itself, or in the folder of `--cgroup-root`; in it `burstable` and `besteffort`
    kubepods.slice              with systemd; in it `kubepods-burstable.slice` and `kubepods-besteffort.slice`
    kubelet-kubepods.slice      with systemd and `--cgroup-root=/kubelet`; in it `kubelet-kubepods-burstable.slice`, ...

Of cgroup v1 there is a tree for each controller, and one of them is as good as another.
Source: https://github.com/kubernetes/kubernetes/tree/v1.36.2/pkg/kubelet: `SyncPod` and `SyncTerminatedPod` in
`kubelet.go`, `SyncPod` in `kuberuntime/kuberuntime_manager.go`, `cgroup_manager_linux.go` and
`qos_container_manager_linux.go` in `cm`.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from joulebench_exporter.inotify import Inotify

_DEPTH: Final = 4
"""How many folders below the root of a tree groups of pods are sought."""
_ALL_PODS = re.compile(r"kubepods|(?:.+-)?kubepods\.slice")
_LESSER_PODS = re.compile(r"(?:burstable|besteffort)|.+-(?:burstable|besteffort)\.slice")
_POD = re.compile(r"pod.+|.+-pod.+\.slice")
_PROCESSES = re.compile(r".+\.(?:service|scope|mount|socket|swap)")
"""Groups that systemd makes for processes: nobody's pods are in them."""


def folders_of_pods(root: Path) -> list[Path]:
    """Those in which groups of pods are, and those of pods with their containers; none where there are no pods.

    `root`: the folder of all trees, or one in a tree.
    """
    for tree in _trees(root):
        found = list(_search(tree, _DEPTH))
        if found:
            found += [folder for pods in found for folder in _matching(pods, _LESSER_PODS)]
            return found + [folder for pods in found for folder in _matching(pods, _POD)]
    return []


def no_pods_in(root: Path) -> str:
    """What is said where there are no such folders."""
    return f"there is no control group kubepods in {root}"


def _trees(root: Path) -> list[Path]:
    """Every group has a list of its processes. Where there is none, the folder is that of the trees of v1."""
    return [root] if (root / "cgroup.procs").exists() else _folders(root)


def _search(folder: Path, depth: int) -> Iterator[Path]:
    if _ALL_PODS.fullmatch(folder.name):
        yield folder
    elif depth:
        for child in _folders(folder):
            yield from _search(child, depth - 1)


def _folders(folder: Path) -> list[Path]:
    """What is in it, in an order that stays. One that is gone or may not be read has nothing."""
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not _PROCESSES.fullmatch(name)]


def _matching(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    return (child for child in _folders(folder) if pattern.fullmatch(child.name))


class PodChanges:
    """Tells that a pod or a container may have come or gone. Used in a loop's thread, for as long as its block runs.

    What cannot be watched never raises: `problem` says why, and whoever waits then waits in vain.
    """

    def __init__(self, root: Path | None) -> None:
        """`root`: see `folders_of_pods`; None: nothing is watched."""
        self.problem = "the control groups of pods are not watched"
        """Why a change may not be told; empty: every one is."""
        self._root = root
        self._inotify: Inotify | None = None
        self._told = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.descriptor)
            self._inotify.close()
            self._inotify = None

    def look(self) -> None:
        """Find the folders anew, and watch them from now on. Folders that go take their watches with them."""
        if self._root is None:
            return
        try:
            inotify = self._opened()
            watched = [folder for folder in folders_of_pods(self._root) if _watched(inotify, folder)]
        except OSError as error:
            self.problem = f"the control groups of pods cannot be watched: {error.strerror}"
            return
        self.problem = "" if watched else no_pods_in(self._root)

    def taken(self) -> bool:
        """Whether something was told since this was asked last."""
        told = self._told.is_set()
        self._told.clear()
        return told

    async def wait(self) -> None:
        """Until something is told that was not taken yet."""
        await self._told.wait()

    def _opened(self) -> Inotify:
        """A user may have few of them: where none is to be had now, one may be later."""
        if self._inotify is None:
            self._inotify = Inotify()
            asyncio.get_running_loop().add_reader(self._inotify.descriptor, self._take, self._inotify)
        return self._inotify

    def _take(self, inotify: Inotify) -> None:
        inotify.drain()
        self._told.set()


def _watched(inotify: Inotify, folder: Path) -> bool:
    try:
        inotify.watch(folder)
    except FileNotFoundError:
        return False  # it was removed while we looked
    return True
