"""The cluster's programs, built from Go modules whose versions and sums are committed, and kept by their content.

Each module of components/ makes one or more programs. What was built is kept in a folder named after everything that
it depends on, so a change builds anew, and two builds at once are safe: one waits for the other.
"""

import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.cluster.commands import attempt, last_lines, run
from tests.cluster.errors import ClusterError, NotPossibleHereError
from tests.cluster.locks import locked
from tests.cluster.settings import COMPONENTS, KUBERNETES_VERSION, cache_folder

BUILD_SECONDS = 30 * 60
_TIME = "build-seconds"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
_STAMP = "k8s.io/component-base/version"
# Without the stamp the API server calls itself v0.0.0-master, and clients that look at versions go wrong.
_KUBERNETES_FLAGS = (
    f"-X {_STAMP}.gitVersion=v{KUBERNETES_VERSION} -X {_STAMP}.gitMajor={_MAJOR} -X {_STAMP}.gitMinor={_MINOR}"
)


@dataclass(frozen=True)
class Module:
    """A folder of components/, the packages in it that are built, and the names of the programs."""

    name: str
    packages: tuple[str, ...] = (".",)
    programs: tuple[str, ...] = ()
    linker_flags: str = ""

    @property
    def source(self) -> Path:
        """The module's folder in the repository."""
        return COMPONENTS / self.name


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
MODULES = (
    Module("pause", programs=("pause",)),
    Module("coredns", ("github.com/coredns/coredns",), ("coredns",)),
    Module("kwok", ("sigs.k8s.io/kwok/cmd/kwok",), ("kwok",)),
    Module("helm", ("helm.sh/helm/v4/cmd/helm",), ("helm",)),
    Module(
        "containerd",
        (f"{_CONTAINERD}/containerd", f"{_CONTAINERD}/containerd-shim-runc-v2", f"{_CONTAINERD}/ctr"),
        ("containerd", "containerd-shim-runc-v2", "ctr"),
    ),
    Module(
        "kubernetes",
        programs=(
            *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
            *("kubelet", "kube-proxy", "kubectl"),
        ),
        linker_flags=_KUBERNETES_FLAGS,
    ),
)


def binaries() -> dict[str, Path]:
    """Where each program is, built if need be: name to path.

    Raises:
        NotPossibleHereError: there is no Go, or its modules cannot be had.
        ClusterError: a module does not compile.
    """
    return {
        program: folder / program for module in MODULES for folder in [built(module)] for program in module.programs
    }


def build_seconds() -> float:
    """How long it took to build everything, whenever that was."""
    return sum(float((built(module) / _TIME).read_text()) for module in MODULES)


def missing() -> list[Module]:
    """The modules that are still to be built; all of them where there is no Go."""
    return [module for module in MODULES if not _folder(module).exists()] if shutil.which("go") else list(MODULES)


def built(module: Module) -> Path:
    """The folder with the module's programs, built if need be."""
    folder = _folder(module)
    if not folder.exists():
        with locked(folder.parent / f"{module.name}.lock"):
            # Another build may have made it while we waited for the lock.
            if not folder.exists():
                _build(module, folder)
    return folder


def _folder(module: Module) -> Path:
    return cache_folder() / "binaries" / f"{module.name}-{_content(module)}"


@cache
def _content(module: Module) -> str:
    """A hash over the sources, the flags, the compiler, and what else lies beside the programs."""
    digest = hashlib.sha256(f"{module}\n{_go_version()}\n{_TIME}\n".encode())
    for path in sorted(module.source.iterdir()):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _go_version() -> str:
    if shutil.which("go") is None:
        raise NotPossibleHereError("there is no Go compiler (`go`)", remedy="install Go 1.26 or newer")
    return run(["go", "version"])


def _build(module: Module, folder: Path) -> None:
    _download(module)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{module.name}-") as scratch:
        result = Path(scratch) / "built"
        result.mkdir()
        for package in module.packages:
            _compile(module, package, result)
        _link(module, result)
        (result / _TIME).write_text(f"{time.monotonic() - began:.1f}\n")
        result.rename(folder)


def _download(module: Module) -> None:
    finished = attempt(["go", "list", "-deps", *module.packages], folder=module.source, timeout_seconds=BUILD_SECONDS)
    if finished.returncode != 0:
        raise NotPossibleHereError(
            f"the Go modules of {module.source.relative_to(COMPONENTS.parent)} cannot be had: "
            f"{last_lines(finished.stderr, 3)}",
            remedy="check the network and GOPROXY",
        )


def _compile(module: Module, package: str, result: Path) -> None:
    flags = f"-s -w {module.linker_flags}".strip()
    output = result / (module.name if package == "." else package.rsplit("/", 1)[-1])
    # The module's own flags alone decide what is built. Without cgo, programs are static and run in an empty image.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    finished = attempt(
        ["go", "build", "-trimpath", "-ldflags", flags, "-o", output, package],
        folder=module.source,
        environment=environment,
        timeout_seconds=BUILD_SECONDS,
    )
    if finished.returncode != 0:
        raise ClusterError(
            f"{module.name}: {package} does not compile: {last_lines(finished.stderr)}",
            remedy=f"mend tests/cluster/components/{module.name}",
        )


def _link(module: Module, result: Path) -> None:
    """A program that is another by another name becomes a link."""
    for program in module.programs:
        if not (result / program).exists():
            (result / program).symlink_to(module.name)
