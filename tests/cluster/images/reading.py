"""What is in an image: the archive that `docker save` and `buildah push docker-archive:` write."""

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contents:
    """An image's settings, and the files of each of its layers, the base's first."""

    config: dict[str, Any]
    """As in the image's `config`: User, Entrypoint, Env, Labels."""
    layer_digests: Sequence[str]
    """Of the uncompressed layers."""
    layers: Sequence[Sequence[tarfile.TarInfo]]

    @property
    def above_base(self) -> list[tarfile.TarInfo]:
        """Everything that is not the base's, whose layer is the first."""
        return [entry for layer in self.layers[1:] for entry in layer]


def read(archive: Path) -> Contents:
    """The contents of the one image in an archive."""
    with tarfile.open(archive) as tar:
        (listed,) = json.load(_member(tar, "manifest.json"))
        image = json.load(_member(tar, listed["Config"]))
        layers = [_entries(tar, layer) for layer in listed["Layers"]]
    return Contents(config=image["config"], layer_digests=image["rootfs"]["diff_ids"], layers=layers)


def _entries(tar: tarfile.TarFile, layer: str) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=_member(tar, layer), mode="r:") as inner:
        return inner.getmembers()


def _member(tar: tarfile.TarFile, name: str) -> Any:
    found = tar.extractfile(name)
    assert found is not None, name
    return found
