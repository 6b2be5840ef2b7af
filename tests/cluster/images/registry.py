"""How this machine reaches package registries, for pip and uv inside of builds: their own configuration files."""

import configparser
import json
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
FILES = (
    Path("/etc/pip.conf"),
    Path.home() / ".pip/pip.conf",
    Path.home() / ".config/pip/pip.conf",
    Path(sys.prefix) / "pip.conf",
)
"""Where pip's settings are, the least counting first."""
_KEYS = ("index-url", "extra-index-url", "trusted-host", "timeout")


def volumes(scratch: Path) -> list[str]:
    """Options of `buildah bud` that mount the configuration; nothing of it is in an image. Written below `scratch`."""
    settings = pip_settings()
    (scratch / "pip.conf").write_text(_pip_text(settings))
    (scratch / "uv.toml").write_text(_uv_text(settings))
    mounts = {scratch / "pip.conf": "/etc/pip.conf", scratch / "uv.toml": "/etc/uv/uv.toml"}
    if bundle := _certificates():
        mounts[bundle] = _BUNDLE
    return [f"--volume={source}:{target}:ro" for source, target in mounts.items()]


def pip_settings() -> Mapping[str, str]:
    """What pip is told on this machine, by its files and its environment."""
    parser = configparser.RawConfigParser()
    own = os.environ.get("PIP_CONFIG_FILE")
    parser.read([*FILES, *([own] if own else [])])
    found = {key: parser.get("global", key, fallback="") for key in _KEYS}
    found |= {key: value for key in _KEYS if (value := os.environ.get(f"PIP_{key.upper().replace('-', '_')}"))}
    return {key: value for key, value in found.items() if value}


def _certificates() -> Path | None:
    """The certificates that this machine trusts, where they are one file."""
    named = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile or _BUNDLE
    return Path(named) if Path(named).is_file() else None


def _pip_text(settings: Mapping[str, str]) -> str:
    lines = [f"{key} = {' '.join(value.split())}" for key, value in {"cert": _BUNDLE, **settings}.items()]
    return "\n".join(["[global]", *lines, ""])


def _uv_text(settings: Mapping[str, str]) -> str:
    hosts = json.dumps(settings.get("trusted-host", "").split())
    return "".join(["system-certs = true\n", f"allow-insecure-host = {hosts}\n", *_uv_indexes(settings)])


def _uv_indexes(settings: Mapping[str, str]) -> Iterator[str]:
    if first := settings.get("index-url"):
        yield f'[[index]]\nurl = "{first}"\ndefault = true\n'
    for url in settings.get("extra-index-url", "").split():
        yield f'[[index]]\nurl = "{url}"\n'
