"""The images that the tests use, each made once and kept by its content."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.cluster.binaries import binaries
from tests.cluster.commands import attempt, last_lines, run
from tests.cluster.errors import NotPossibleHereError
from tests.cluster.images.archive import write_image, write_program_image
from tests.cluster.locks import locked
from tests.cluster.settings import DNS_IMAGE, PAUSE_IMAGE, WORKLOAD_IMAGE, cache_folder

BASE_IMAGE = "localhost/base:1"
_DEBIAN = "bookworm"
_BASE_PACKAGES = ("python3", "ca-certificates")
_BUILD_SECONDS = 600
_DIGITS = 16
_KEPT = 5
_WORKLOAD = Path(__file__).parent / "workload"


def pause() -> Path:
    """The image of every pod's first process."""
    program = binaries()["pause"]
    return _program(PAUSE_IMAGE, program)


def dns() -> Path:
    """CoreDNS."""
    return _program(DNS_IMAGE, binaries()["coredns"])


def _program(image: str, program: Path) -> Path:
    return kept(image, program.parent.name, lambda archive: write_program_image(archive, image=image, program=program))


def base() -> Path:
    """Debian with Python: what other images can be built on (an OCI archive).

    Raises:
        NotPossibleHereError: the packages cannot be had.
    """
    return kept(BASE_IMAGE, f"{_DEBIAN} {_BASE_PACKAGES}", _make_base)


def _make_base(archive: Path) -> None:
    layer = archive.with_suffix(".layer")
    words = ["--variant=minbase", "--mode=root", "--format=tar", f"--include={','.join(_BASE_PACKAGES)}", "--quiet"]
    # Manuals and package lists are half of it, and nobody reads them in a container.
    words += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
    finished = attempt(["mmdebstrap", *words, _DEBIAN, layer], timeout_seconds=_BUILD_SECONDS)
    if finished.returncode != 0:
        raise NotPossibleHereError(
            f"mmdebstrap could not make the base image: {last_lines(finished.stderr, 5)}",
            remedy="check that Debian's packages can be reached",
        )
    write_image(archive, image=BASE_IMAGE, layer=layer.read_bytes())
    layer.unlink()


def workload() -> Path:
    """What the tests run in pods."""
    return built(WORKLOAD_IMAGE, _WORKLOAD)


def built(image: str, folder: Path, *, dockerfile: str = "Dockerfile") -> Path:
    """The archive of an image, built from a folder; its Dockerfile begins with `ARG BASE` and `FROM ${BASE}`."""
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    content = base().name + dockerfile + file_digests(folder, paths)
    return kept(image, content, lambda archive: build(archive, image=image, folder=folder, dockerfile=dockerfile))


def file_digests(folder: Path, paths: Iterable[Path]) -> str:
    """The hash of each file, and where it is in the folder."""
    return "".join(f"{path} {hashlib.sha256((folder / path).read_bytes()).hexdigest()}\n" for path in paths)


def build(
    archive: Path, *, image: str, folder: Path, dockerfile: str = "Dockerfile", options: Sequence[str] = ()
) -> None:
    """Build a folder's Dockerfile on our base; `options` are more of `buildah bud`."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".buildah-") as scratch:
        # A store of its own: the machine's, if it has one, is not touched.
        buildah = ["buildah", f"--root={scratch}/store", f"--runroot={scratch}/run", "--storage-driver=vfs"]
        words = ["--isolation=chroot", "--network=host", f"--build-arg=BASE=oci-archive:{base()}", "--pull-never"]
        # Times in layers would make two builds of the same differ.
        words += ["--timestamp=0", f"--file={folder / dockerfile}", f"--tag={image}", *options]
        run([*buildah, "bud", *words, folder], timeout_seconds=_BUILD_SECONDS)
        run([*buildah, "push", image, f"docker-archive:{archive}:{image}"], timeout_seconds=_BUILD_SECONDS)


def kept(image: str, content: str, make: Callable[[Path], None], *, most: int = _KEPT) -> Path:
    """The archive of an image, made if need be; safe under two makers at once. `most`: how many of its states stay."""
    folder = cache_folder() / "images"
    name = image.rpartition("/")[2].replace(":", "-")
    digest = hashlib.sha256(f"{image} {content}".encode()).hexdigest()[:_DIGITS]
    path = folder / f"{name}-{digest}.tar"
    if not path.exists():
        with locked(folder / f"{name}.lock"):
            if not path.exists():
                scratch = path.with_suffix(".new")
                scratch.unlink(missing_ok=True)
                make(scratch)
                scratch.rename(path)
                _forget_old(folder, name, most)
    path.touch()
    return path


def _forget_old(folder: Path, name: str, most: int) -> None:
    """Remove archives of this image that were not used for longest; several checkouts may share the folder."""
    archives = sorted(folder.glob(f"{name}-{'?' * _DIGITS}.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for archive in archives[most:]:
        archive.unlink()
