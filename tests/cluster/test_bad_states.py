"""What goes wrong with clusters is told, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster import cgroups, control_plane, network, record
from tests.cluster.cluster import Cluster
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.settings import REPOSITORY

DIES = """\
import os, signal, sys
from tests.cluster.cluster import Cluster
Cluster(sys.argv[1]).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def _traces(name: str) -> list[str]:
    """What is left of a cluster on this machine."""
    group = f"joulebench-{name}"
    groups = [str(path / group) for path in cgroups.hierarchies() if (path / group).exists()]
    namespaces = [path.name for path in network.NAMESPACES.iterdir() if path.name.startswith(f"{group}-")]
    commands = run(["ps", "-e", "-ww", "-o", "args="])
    processes = [line for line in commands.splitlines() if f"/clusters/{name}/" in line]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if f"/clusters/{name}/" in line]
    folders = [str(path) for path in record.clusters_folder().iterdir() if path.name == name]
    return [*groups, *namespaces, *processes, *mounts, *folders]


def test_a_dead_run_s_cluster_is_taken_down_and_nothing_else(cluster: Cluster) -> None:
    name = f"dead-{cluster.layout.name}"
    died = subprocess.run([sys.executable, "-c", DIES, name], cwd=REPOSITORY, check=False, timeout=120)
    assert died.returncode == -9
    assert _traces(name)

    told = run([sys.executable, "-m", "tests.cluster", "sweep"], folder=REPOSITORY)

    assert f"cluster '{name}' is gone" in told
    assert _traces(name) == []
    assert cluster.node_ready("node0")
    assert _traces(cluster.layout.name)


def test_a_component_that_dies_at_start_is_told_with_its_last_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = control_plane.commands
    monkeypatch.setattr(
        control_plane, "commands", lambda layout: {**good(layout), "etcd": ["etcd", "--no-such-flag=1"]}
    )
    name = f"bad-{cluster.layout.name}"

    with pytest.raises(ClusterError, match=r"etcd died (.|\n)*no-such-flag"):
        Cluster(name).start()

    assert _traces(name) == []


def test_a_namespace_that_nobody_s_record_holds_is_told_and_left_alone(cluster: Cluster) -> None:
    name = f"odd-{cluster.layout.name}"
    network._add(f"joulebench-{name}-node0")
    try:
        with pytest.raises(ClusterError, match=r"is not in any cluster's record; if nobody needs it, `ip netns delete"):
            Cluster(name).start()
        assert network.exists(f"joulebench-{name}-node0")
    finally:
        network.remove(f"joulebench-{name}-node0")
