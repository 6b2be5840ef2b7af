"""An image of one layer as an archive (https://github.com/opencontainers/image-spec/blob/main/image-layout.md)."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TYPE = "application/vnd.oci.image"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_program_image(archive: Path, *, image: str, program: Path) -> None:
    """An image that holds nothing but one static program, and runs it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as file:
            tar.addfile(entry, file)
    write_image(archive, image=image, layer=layer.getvalue(), entrypoint=[f"/{program.name}"])


def write_image(archive: Path, *, image: str, layer: bytes, entrypoint: Sequence[str] = ()) -> None:
    """An image of one layer; `layer` is an uncompressed tar."""
    # A weak compression: the archive is read once, here.
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = _json(
        {
            "architecture": _MACHINES[platform.machine()],
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint)} if entrypoint else {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}.manifest.v1+json",
            "config": _described(config, f"{_TYPE}.config.v1+json"),
            "layers": [_described(packed, f"{_TYPE}.layer.v1.tar+gzip")],
        }
    )
    named = _described(manifest, f"{_TYPE}.manifest.v1+json")
    # containerd takes the name from the first of these, buildah from the second.
    named["annotations"] = {"io.containerd.image.name": image, "org.opencontainers.image.ref.name": image}
    blobs = {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in (packed, config, manifest)}
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [named]}),
        **blobs,
    }
    _write_tar(archive, files)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _described(blob: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _write_tar(archive: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
