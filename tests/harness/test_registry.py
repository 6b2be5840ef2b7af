"""Builds reach package registries as pip does on this machine."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.cluster.images import registry
from tests.cluster.images.registry import pip_settings, volumes


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST", "CONFIG_FILE"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setattr(registry, "FILES", ())


def written(folder: Path) -> tuple[str, Mapping[str, object]]:
    """pip's and uv's configuration files."""
    folder.mkdir()
    volumes(folder)
    return (folder / "pip.conf").read_text(), tomllib.loads((folder / "uv.toml").read_text())


def test_a_machine_without_settings_uses_the_common_registry(tmp_path: Path) -> None:
    pip, uv = written(tmp_path / "made")

    assert "index-url" not in pip
    assert "index" not in uv
    assert uv["system-certs"] is True


def test_the_environments_registry_is_used_by_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example.org/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.example.org/simple")

    pip, uv = written(tmp_path / "made")

    assert "index-url = https://packages.example.org/simple\n" in pip
    assert uv["index"] == [
        {"url": "https://packages.example.org/simple", "default": True},
        {"url": "https://more.example.org/simple"},
    ]


def test_a_file_of_pip_counts_less_than_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://file.example.org/\ntrusted-host = file.example.org\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert pip_settings()["index-url"] == "https://file.example.org/"

    monkeypatch.setenv("PIP_INDEX_URL", "https://environment.example.org/")

    assert pip_settings()["index-url"] == "https://environment.example.org/"
    assert written(tmp_path / "made")[1]["allow-insecure-host"] == ["file.example.org"]


def test_mounts_can_be_read_only(tmp_path: Path) -> None:
    mounts = volumes(tmp_path)
    assert all(mount.startswith("--volume=") and mount.endswith(":ro") for mount in mounts)
    assert any(":/etc/pip.conf:" in mount for mount in mounts)
