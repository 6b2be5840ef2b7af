"""The images that joulebench publishes, built from images/ on the tests' base, and kept by their content."""

import shutil
import tempfile
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import NotPossibleHereError
from tests.cluster.images import registry, store
from tests.cluster.images.store import file_digests, kept
from tests.cluster.settings import REPOSITORY, cache_folder
from tools.images import BUILD_LOCK, IMAGES, Image, version

REVISION = "tested"
_BUILDER_IMAGE = "localhost/builder:1"
_BUILDER = """\
ARG BASE
FROM ${BASE}
COPY pip /usr/local/lib/python3.11/dist-packages/pip
COPY libgomp.so.1 /usr/lib/any-linux-gnu/libgomp.so.1
"""


@dataclass(frozen=True)
class Product:
    """An image, and what the cluster loads to have it."""

    name: str
    """As containers name it."""
    archive: Path


def product(name: str) -> Product:
    """The image of images/NAME; built if its Dockerfile, sources or packages changed since it was last.

    Raises:
        ClusterError: it cannot be built.
    """
    return made(IMAGES[name])


def made(image: Image, *, most: int = 5, libraries: Sequence[str] = ()) -> Product:
    """The same of an image that is not among those that are published.

    Args:
        most: how many states of it are kept.
        libraries: what its build stage has of this machine besides, such as "libnuma.so.1".
    """
    tag = f"localhost/{image.reference}:1"

    def make(archive: Path) -> None:
        build(archive, image, tag=tag, libraries=libraries)

    return Product(tag, kept(tag, _content(image), make, most=most))


def build(archive: Path, image: Image, *, tag: str, libraries: Sequence[str] = ()) -> None:
    """Build an image anew."""
    packages = cache_folder() / "packages"
    packages.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = {"BUILDER": f"docker-archive:{_builder()}", "VERSION": version(), "REVISION": REVISION}
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        options += [f"--volume={packages}:/root/.cache", *registry.volumes(Path(scratch))]
        options += [f"--volume={found}:{found}:ro" for found in map(_library, libraries)]
        store.build(archive, image=tag, folder=REPOSITORY, dockerfile=image.dockerfile, options=options)


def _content(image: Image) -> str:
    """Everything that decides what is in an image."""
    paths = [Path(".dockerignore"), Path("images/install.sh"), Path(BUILD_LOCK)]
    paths += [path for source in (f"images/{image.name}", *image.sources) for path in _sources(source)]
    return f"{store.base().name} {_BUILDER}" + file_digests(REPOSITORY, paths)


def _sources(source: str) -> Iterator[Path]:
    """The files of a folder, or the file itself."""
    path = REPOSITORY / source
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = (file.relative_to(REPOSITORY) for file in found if file.is_file())
    return (file for file in files if "__pycache__" not in file.parts)


def _builder() -> Path:
    """Where packages are installed: the base with the pip of the tests' Python, and this machine's libgomp."""
    return kept(_BUILDER_IMAGE, f"{store.base().name} {_BUILDER}", _make_builder)


def _make_builder(archive: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(Path(scratch) / "venv", with_pip=True)
        found = next((Path(scratch) / "venv").glob("lib/python*/site-packages/pip"))
        context = Path(scratch) / "context"
        context.mkdir()
        found.rename(context / "pip")
        shutil.copy(_library("libgomp.so.1"), context / "libgomp.so.1")
        (context / "Dockerfile").write_text(_BUILDER)
        store.build(archive, image=_BUILDER_IMAGE, folder=context)


def _library(name: str) -> Path:
    found = next(Path("/usr/lib").glob(f"*-linux-gnu/{name}"), None)
    if found is None:
        package = name.replace(".so.", "")
        raise NotPossibleHereError(f"there is no {name} in /usr/lib", remedy=f"install the Debian package {package}")
    return found
