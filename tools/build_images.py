"""Builds the container images with docker or podman; see docs/guide/images.md.

python -m tools.build_images [--tag TAG] [--only NAMES] [--prefix PREFIX] [--base IMAGE] [--builder IMAGE]
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tools.images import IMAGES, ROOT, Image, version

TOOLS = ("docker", "podman")
_MIB = 2**20


class BuildError(Exception):
    """Why nothing can be built, and what to do about it."""


def main(words: Sequence[str] | None = None) -> int:
    """Build what the command line says."""
    options = _parser().parse_args(words)
    bases = {"BASE": options.base, "BUILDER": options.builder}
    try:
        tool = found_tool()
        for image in chosen(options.only):
            build(tool, image, tag=options.tag or version(), prefix=options.prefix, bases=bases)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(
            f"`{' '.join(error.cmd[:2])}` failed with exit code {error.returncode}; its words are above",
            file=sys.stderr,
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make images", description=__doc__.splitlines()[0])
    parser.add_argument("--tag", default="", help="tag of the images (default: the version)")
    parser.add_argument("--only", default="", help=f"names, separated by commas (default: {','.join(IMAGES)})")
    parser.add_argument("--prefix", default="", help="what stands before the names, as in registry.example.org/team/")
    parser.add_argument("--base", default="", help="another base image with Python 3.11 or newer")
    parser.add_argument("--builder", default="", help="where packages are installed, with pip (default: the base)")
    return parser


def chosen(only: str) -> list[Image]:
    """The images of these names; all if none is named."""
    names = [name for name in only.replace(",", " ").split() if name] or list(IMAGES)
    if unknown := [name for name in names if name not in IMAGES]:
        raise BuildError(f"ONLY: there is no image {unknown[0]!r}.\nThere is {', '.join(IMAGES)}.")
    return [IMAGES[name] for name in names]


def found_tool() -> str:
    """The first of docker and podman that works here."""
    present = [tool for tool in TOOLS if shutil.which(tool)]
    for tool in present:
        if subprocess.run([tool, "info"], capture_output=True, check=False).returncode == 0:
            return tool
    if present:
        problem = f"{' and '.join(present)} is installed, but does not work here (`{present[0]} info` fails)."
        raise BuildError(
            f"{problem}\nStart its service (`systemctl start docker`), or see what `{present[0]} info` says."
        )
    raise BuildError(
        "Neither docker nor podman is installed, and one of them is needed to build images.\n"
        "Install docker, or podman (`apt-get install podman`, `dnf install podman`, `brew install podman`)."
    )


def build(tool: str, image: Image, *, tag: str, prefix: str, bases: Mapping[str, str]) -> None:
    """Build an image and say how large it is."""
    name = f"{prefix}{image.reference}:{tag}"
    arguments = {"VERSION": version(), "REVISION": _revision(), **{key: base for key, base in bases.items() if base}}
    words = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    # Without times of their own, two builds of the same are the same. BuildKit takes it from the build argument.
    words += ["--timestamp=0"] if tool == "podman" else ["--build-arg=SOURCE_DATE_EPOCH=0"]
    _run([tool, "build", *words, f"--file={ROOT / image.dockerfile}", f"--tag={name}", str(ROOT)])
    measured = [tool, "run", "--rm", "--network=none", "--entrypoint=du", name]
    lines = _run([*measured, "--summarize", "--bytes", *image.folders], capture=True).splitlines()
    mib = sum(int(line.split()[0]) for line in lines) / _MIB
    print(f"{name}: {mib:.0f} MiB above its base (bar: {image.most_mib} MiB)", flush=True)


def _revision() -> str:
    """The commit, where this is a checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if shutil.which("git")
        else ""
    )


def _run(command: Sequence[str], *, capture: bool = False) -> str:
    finished = subprocess.run(command, stdout=subprocess.PIPE if capture else None, text=True, check=True)
    return finished.stdout or ""


if __name__ == "__main__":
    sys.exit(main())
