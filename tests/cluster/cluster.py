"""The front of the test cluster."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from tests import nvml_stub
from tests.cluster import cgroups, control_plane, machine, network, node, pki, record
from tests.cluster.api import Api
from tests.cluster.binaries import binaries
from tests.cluster.commands import COMMAND_SECONDS, attempt, run
from tests.cluster.daemons import Daemons, enter_mounts, memory_mib
from tests.cluster.errors import ClusterError, NotPossibleHereError
from tests.cluster.fakegpu import gpus
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.helpers import GPU_PLUGIN, gpu_plugin_command, helper_commands
from tests.cluster.images import store
from tests.cluster.kwok import fake_node, kwok_command
from tests.cluster.layout import Layout, NodeLayout
from tests.cluster.manifests import manifest
from tests.cluster.record import Record
from tests.cluster.settings import (
    API_PORT,
    CONTROL_PLANE_ADDRESS,
    START_SECONDS,
    node_address,
)
from tests.cluster.waiting import until

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_NODES = ("node0", "node1", "node2", "node3")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Cluster:
    """One cluster of this machine.

    Args:
        name: what its namespaces, control groups and folder are called after.
        stays: it outlives this process (as with `make cluster`); else it is a leftover once this process is gone.
    """

    def __init__(self, name: str = "joulebench", *, stays: bool = False) -> None:
        if not _NAME.fullmatch(name):
            raise ClusterError(f"{name!r} is no name for a cluster", remedy="use a-z, 0-9 and -, at most 31 of them")
        self._use(record.new_record(name, stays=stays))
        self.figures: dict[str, float] = {}

    def _use(self, belongings: Record) -> None:
        self._record = belongings
        self.layout = Layout(belongings.folder, belongings.name)
        self._daemons = Daemons(self.layout, belongings, self.environment)

    @classmethod
    def attach(cls, name: str) -> "Cluster":
        """The cluster of this name that somebody else started."""
        belongings = record.read(name)
        if belongings is None:
            raise ClusterError(f"there is no cluster {name!r}", remedy="`make cluster` starts one")
        cluster = cls(name)
        cluster._use(belongings)
        return cluster

    # --- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the control plane and the first node; returns once that is Ready and names resolve.

        Raises:
            NotPossibleHereError: the machine cannot run it.
            ClusterError: the name is in use, or a component died or took too long; everything is taken down again.
        """
        machine.require()
        programs = binaries()
        images = [store.pause(), store.dns(), store.workload()]
        began = time.monotonic()
        self._claim()
        try:
            self._link(programs)
            self._start_control_plane()
            self._start_node(self._node_layout("node0"))
            self.figures["start to node Ready (s)"] = time.monotonic() - began
            for image in images:
                self.load_image(image)
            self._start_helpers()
        except BaseException:
            self.stop()
            raise

    def _claim(self) -> None:
        with record.claim_lock():
            record.take_down_leftovers()
            if record.read(self._record.name) is not None:
                raise ClusterError(
                    f"there is a cluster {self._record.name!r} already", remedy="stop it, or take another name"
                )
            namespaces = [self.layout.node(name, index).namespace for index, name in enumerate(_NODES)]
            for namespace in filter(network.exists, namespaces):
                raise ClusterError(
                    f"the network namespace {namespace} is not in any cluster's record",
                    remedy=f"if nobody needs it, `ip netns delete {namespace}`",
                )
            self._record.save()

    def _link(self, programs: Mapping[str, Path]) -> None:
        self.layout.programs.mkdir()
        for name, path in programs.items():
            (self.layout.programs / name).symlink_to(path)

    def stop(self) -> None:
        """End everything and remove every trace."""
        began = time.monotonic()
        self._record.take_down()
        self.figures["stop (s)"] = time.monotonic() - began

    def _start_control_plane(self) -> None:
        self._own_namespace(self.layout.namespace)
        network.add_first(self.layout.namespace)
        pki.make_control_plane_keys(self.layout.pki)
        tokens = pki.make_tokens(_NODES)
        (self.layout.pki / "tokens.csv").write_text("".join(f"{line}\n" for _, line in tokens.values()))
        for client, (token, _) in tokens.items():
            self._write_kubeconfig(client, token)
        for name, argv in control_plane.commands(self.layout).items():
            self._daemons.start(name, [*network.enter(self.layout.namespace), *argv])
            if name == "kube-apiserver":
                # Before it is ready, the roles of the others are missing.
                self.wait_ready()

    def wait_ready(self, *, timeout_seconds: float = START_SECONDS) -> None:
        """Wait until the API server is ready."""
        api = self.api()
        self._daemons.wait("kube-apiserver", api.healthy, what="a ready API server", timeout_seconds=timeout_seconds)
        api.close()

    def _own_namespace(self, namespace: str) -> None:
        self._record.namespaces.append(namespace)
        self._record.save()

    def _write_kubeconfig(self, client: str, token: str) -> None:
        path = self.layout.kubeconfig(client)
        path.parent.mkdir(exist_ok=True)
        server = {
            "server": f"https://{CONTROL_PLANE_ADDRESS}:{API_PORT}",
            "certificate-authority": f"{self.layout.pki}/ca.crt",
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": client, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": client}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)

    def _start_helpers(self) -> None:
        for name in ("coredns", "storage"):
            self.kubectl("apply", "--server-side", "-f", "-", text=manifest(name))
        for name, argv in helper_commands(self.layout).items():
            self._daemons.start(name, [*network.enter(self.layout.namespace), *argv])
        self.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=60s")

    def start_beside(self, name: str, argv: Sequence[str | Path]) -> None:
        """Start another program in the cluster's network; it goes with the cluster, and `logs(name)` has its words."""
        self._daemons.start(name, [*network.enter(self.layout.namespace), *argv])

    # --- nodes -------------------------------------------------------------------------------------------------------

    def _node_layout(self, name: str) -> NodeLayout:
        if name not in _NODES:
            raise ClusterError(f"{name!r} is no node", remedy=f"a cluster can have {', '.join(_NODES)}")
        return self.layout.node(name, _NODES.index(name))

    def add_node(self, *, images: Sequence[Path] | None = None) -> str:
        """Add another real node; returns its name once it is Ready. `images`: those it gets in place of all."""
        name = _NODES[len(self._record.nodes)]
        layout = self._node_layout(name)
        self._own_namespace(layout.namespace)
        network.add_further(layout.namespace, first=self.layout.namespace, index=layout.index)
        self._start_node(layout)
        for image in self._loaded() if images is None else images:
            self.load_image(image, nodes=[name])
        return name

    def _start_node(self, layout: NodeLayout) -> None:
        name = layout.name
        pki.make_certificate(
            self.layout.pki, name, subject=f"/CN={name}", names=[name], addresses=[node_address(layout.index)]
        )
        node.write_files(self.layout, layout)
        cgroups.make(layout.group)
        mounts = f"{name}/{node.MOUNTS}"
        self._daemons.start(mounts, [*network.enter(layout.namespace), *node.mount_command(layout)])
        mounted = layout.folder / "mounted"
        self._daemons.wait(mounts, mounted.exists, what=f"the mounts of {name}", timeout_seconds=10)
        self._record.nodes.append(name)
        for daemon, argv in node.commands(self.layout, layout).items():
            self._daemons.start(f"{name}/{daemon}", [*self._enter_node(layout), *argv])
            if daemon == "containerd":
                self._daemons.wait(
                    f"{name}/{daemon}",
                    lambda: attempt([*self._enter_node(layout), "test", "-S", node.CONTAINERD_SOCKET]).returncode == 0,
                    what=f"containerd on {name}",
                    timeout_seconds=START_SECONDS,
                )
        self._daemons.wait(
            f"{name}/kubelet",
            lambda: self.node_ready(name),
            what=f"{name} to be Ready",
            timeout_seconds=START_SECONDS,
        )

    def _enter_node(self, layout: NodeLayout) -> list[str]:
        """The command prefix for the network and the mounts of a node."""
        holder = self._daemons.find(f"{layout.name}/{node.MOUNTS}")
        return [*network.enter(layout.namespace), *enter_mounts(holder.pid)]

    def node_ready(self, name: str) -> bool:
        """Whether the control plane holds a node for Ready."""
        api = self.api()
        try:
            answer = api.request("GET", f"/api/v1/nodes/{name}")
        except OSError:
            return False
        finally:
            api.close()
        # A refusal has a `status` too, and that is a word.
        conditions = answer.body["status"].get("conditions", []) if answer.good else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def cut_node(self, name: str) -> None:
        """Cut the cable between a node and all others; its processes go on."""
        self._plug(name, plugged=False)

    def mend_node(self, name: str) -> None:
        """Plug the cable of a cut node in again."""
        self._plug(name, plugged=True)

    def _plug(self, name: str, *, plugged: bool) -> None:
        layout = self._node_layout(name)
        if layout.index == 0:
            raise ClusterError("node0 has no cable: the control plane is on it", remedy="add a node and cut that")
        network.set_cable(first=self.layout.namespace, index=layout.index, plugged=plugged)

    def remove_node(self, name: str) -> None:
        """Delete the last added node and end everything on it."""
        layout = self._node_layout(name)
        if layout.index == 0 or self._record.nodes[-1] != name:
            raise ClusterError(f"{name} cannot be removed", remedy="only the last added node can")
        self.kubectl("delete", "node", name, "--ignore-not-found")
        for daemon in [one for one in self._record.daemons if one.startswith(f"{name}/")]:
            self._remove_daemon(daemon)
        cgroups.remove(layout.group, timeout_seconds=20)
        network.remove(layout.namespace)
        run(["rm", "-rf", layout.folder])
        self._record.nodes.remove(name)
        self._record.namespaces.remove(layout.namespace)
        self._record.save()

    def _remove_daemon(self, name: str) -> None:
        cgroups.remove(f"{self.layout.group}/daemons/{name.replace('/', '-')}", timeout_seconds=20)
        del self._record.daemons[name]

    def add_fake_nodes(self, count: int, *, gpus: int = 8) -> list[str]:
        """Add nodes that only KWOK plays: their pods are said to run, and do not; for tests of scale."""
        if "kwok" not in self._record.daemons:
            stages = self.layout.folder / "kwok-stages.yaml"
            stages.write_text(manifest("kwok-stages"))
            command = kwok_command(self.layout.kubeconfig("admin"), stages)
            self._daemons.start("kwok", [*network.enter(self.layout.namespace), *command])
        nodes = [fake_node(index, gpus=gpus) for index in range(count)]
        api = self.api()
        for one in nodes:
            api.create("/api/v1/nodes", one)
        api.close()
        return [str(one["metadata"]["name"]) for one in nodes]

    # --- fake GPUs ---------------------------------------------------------------------------------------------------

    def add_gpus(self, *, node: str = "node0", count: int = 8, name: str = "Simulated GPU") -> list[FakeGpu]:
        """Give a node GPUs that are not there, all the way from the device plugin to NVML; see `fakegpu`.

        `name`: of the product, as NVML says it.

        Raises:
            NotPossibleHereError: there is no C compiler for the stub of NVML.
        """
        if reason := nvml_stub.why_not():
            raise NotPossibleHereError(reason, remedy="install gcc or clang")
        if not 1 <= count <= nvml_stub.MAX_BOARDS:
            raise ClusterError(f"{count} GPUs cannot be shown", remedy=f"ask for 1 to {nvml_stub.MAX_BOARDS}")
        layout = self._node_layout(node)
        gpus.make(layout.gpus, node=node, count=count, name=name)
        daemon = f"{node}/{GPU_PLUGIN}"
        self._daemons.start(daemon, [*self._enter_node(layout), *gpu_plugin_command()])
        self._daemons.wait(
            daemon,
            lambda: self.gpus_for_pods(node) == count,
            what=f"the GPUs of {node}",
            timeout_seconds=START_SECONDS,
        )
        return self.gpus(node)

    def gpus(self, node: str = "node0") -> list[FakeGpu]:
        """The fake GPUs of a node, to look at and to break."""
        return gpus.read(self._node_layout(node).gpus)

    def gpus_for_pods(self, node: str = "node0") -> int:
        """How many GPUs of a node can be given to pods, by the node's own account."""
        api = self.api()
        try:
            allocatable = api.get(f"/api/v1/nodes/{node}")["status"]["allocatable"]
        finally:
            api.close()
        return int(allocatable.get(gpus.RESOURCE, 0))

    def remove_gpus(self, node: str = "node0") -> None:
        """Take a node's fake GPUs away again."""
        layout = self._node_layout(node)
        self._remove_daemon(f"{node}/{GPU_PLUGIN}")
        self._record.save()
        self.wait(lambda: self.gpus_for_pods(node) == 0, what=f"the end of the GPUs of {node}")
        run(["rm", "-rf", layout.gpus])

    # --- killing and looking -----------------------------------------------------------------------------------------

    def _daemon_name(self, component: str, on: str) -> str:
        return component if component in self._record.daemons else f"{on}/{component}"

    def kill(self, component: str, *, on: str = "node0") -> None:
        """`kill -9` a component: `kube-apiserver`, `etcd`, `kubelet`, `containerd`, ..."""
        self._daemons.kill(self._daemon_name(component, on))

    def restart(self, component: str, *, on: str = "node0") -> None:
        """Start a killed component again."""
        self._daemons.start_again(self._daemon_name(component, on))

    def listeners(self, port: int, address: str, *, since_seconds: float) -> list[int]:
        """The ports of all connections from an address to a port of the control plane on which only the control plane
        has said anything for so long: those of watches."""
        return network.listeners(self.layout.namespace, port=port, address=address, since_seconds=since_seconds)

    @contextmanager
    def silenced(self, address: str, ports: Sequence[int]) -> Iterator[None]:
        """No packet of these connections of an address to the control plane arrives any more, at either end."""
        network.silence(self.layout.namespace, address=address, ports=ports)
        try:
            yield
        finally:
            network.end_silence(self.layout.namespace)

    def forget_history(self) -> None:
        """Have etcd keep only what is now (https://etcd.io/docs/v3.6/op-guide/maintenance/)."""
        control_plane.compact(self.run)

    def logs(self, component: str, *, on: str = "node0") -> str:
        """Everything that a component has written."""
        name = self._daemon_name(component, on)
        self._daemons.find(name)
        return self.layout.log(name).read_text(errors="replace")

    @property
    def components(self) -> list[str]:
        """The names of all components, those on nodes as `node0/kubelet`."""
        return sorted(self._record.daemons)

    @property
    def nodes(self) -> list[str]:
        """The real nodes."""
        return list(self._record.nodes)

    def memory_mib(self) -> float:
        """What all processes of the cluster hold in memory, containers included."""
        return memory_mib(self.layout.group)

    # --- using it ----------------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; it leads to the API server from within the cluster's network namespace only."""
        return self.layout.kubeconfig("admin")

    @property
    def namespace_path(self) -> Path:
        """The file of the cluster's network namespace."""
        return network.namespace_path(self.layout.namespace)

    @property
    def environment(self) -> dict[str, str]:
        """What commands in the cluster get for an environment: ours has proxies and the like."""
        folder = self.layout.folder
        return {
            "PATH": f"{self.layout.programs}:{_SYSTEM_PATH}",
            "HOME": f"{folder}/home",
            "KUBECONFIG": str(self.layout.kubeconfig("admin")),
            "KUBECACHEDIR": f"{folder}/home/kubectl",
            "LANG": os.environ.get("LANG", "C.UTF-8"),
        }

    def api(self) -> Api:
        """A client with all rights."""
        return Api(self.kubeconfig, namespace=self.namespace_path)

    def api_of(self, account: str, *, namespace: str) -> Api:
        """A client with the rights of a ServiceAccount."""
        self._write_kubeconfig(account, self.kubectl("create", "token", account, f"--namespace={namespace}").strip())
        return Api(self.layout.kubeconfig(account), namespace=self.namespace_path)

    def enter(self) -> list[str]:
        """The command prefix that runs a command in the cluster's network: Services and pods answer there."""
        return network.enter(self.layout.namespace)

    def run(
        self, argv: Sequence[str | Path], *, text: str | None = None, timeout_seconds: float = COMMAND_SECONDS
    ) -> str:
        """The output of a command that is run in the cluster's network, as its administrator."""
        return run([*self.enter(), *argv], text=text, timeout_seconds=timeout_seconds, environment=self.environment)

    def kubectl(self, *words: str | Path, text: str | None = None, timeout_seconds: float = COMMAND_SECONDS) -> str:
        """The output of kubectl, which must succeed; `text` is its standard input."""
        return self.run(["kubectl", *words], text=text, timeout_seconds=timeout_seconds)

    def helm(self, *words: str | Path, timeout_seconds: float = COMMAND_SECONDS) -> str:
        """The output of helm, which must succeed."""
        return self.run(["helm", *words], timeout_seconds=timeout_seconds)

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> None:
        """Apply objects, server-side."""
        text = yaml.safe_dump_all([dict(one) for one in objects])
        self.kubectl("apply", "--server-side", "--force-conflicts", f"--namespace={namespace}", "-f", "-", text=text)

    def load_image(self, archive: Path, *, nodes: Sequence[str] | None = None) -> None:
        """Put an image archive into the container store of the named nodes; else of all, also of those to come."""
        for name in self.nodes if nodes is None else nodes:
            prefix = self._enter_node(self._node_layout(name))
            command = ["ctr", "--namespace=k8s.io", "images", "import", "--local", str(archive)]
            run([*prefix, *command], environment=self.environment, timeout_seconds=300)
        if nodes is None:
            with (self.layout.folder / "images.txt").open("a") as file:
                file.write(f"{archive}\n")

    def _loaded(self) -> list[Path]:
        with suppress(FileNotFoundError):
            lines = (self.layout.folder / "images.txt").read_text().splitlines()
            return [Path(line) for line in dict.fromkeys(lines)]
        return []

    def wait(self, probe: Callable[[], Any], *, what: str, timeout_seconds: float = START_SECONDS) -> Any:
        """Wait until `probe` returns something true, and return that; an API server that is away is asked again."""

        def asked() -> Any:
            try:
                return probe()
            except (ClusterError, OSError):
                return None

        return until(asked, what=what, timeout_seconds=timeout_seconds, pause_seconds=0.1)
