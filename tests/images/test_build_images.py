"""`make images`: which tool builds, what it is told, and what is said where there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tools import build_images
from tools.images import BUILD_LOCK, IMAGES, ROOT, VLLM_CPU, Image, version

Install = Callable[..., Path]
every_dockerfile = pytest.mark.parametrize("image", [*IMAGES.values(), VLLM_CPU], ids=lambda image: image.name)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a stand-in for a tool into an otherwise empty PATH; it writes down what it was told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def make(tool: str, *, info: int = 0, build: int = 0) -> Path:
        told = tmp_path / f"{tool}.log"
        script = programs / tool
        cases = f'info) exit {info};; build) exit {build};; run) echo "1572864 /opt/joulebench";;'
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {told}\ncase $1 in {cases} esac\n')
        script.chmod(0o755)
        return told

    return make


def commands(told: Path, word: str) -> list[str]:
    """The command lines of this sub-command."""
    return [line for line in told.read_text().splitlines() if line.startswith(word)]


def test_docker_builds_all_images_and_their_sizes_are_printed(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = install("docker")

    assert build_images.main([]) == 0

    assert len(commands(docker, "build")) == len(IMAGES)
    assert f"joulebench-exporter:{version()}: 2 MiB above its base (bar: 60 MiB)" in capsys.readouterr().out


def test_one_image_can_be_built_under_any_name(install: Install) -> None:
    docker = install("docker")

    assert build_images.main(["--only", "exporter", "--tag", "mine", "--prefix", "registry.example.org/team/"]) == 0

    (line,) = commands(docker, "build")
    assert "--tag=registry.example.org/team/joulebench-exporter:mine" in line
    assert "images/exporter/Dockerfile" in line
    assert f"--build-arg=VERSION={version()}" in line
    assert "BASE" not in line


def test_another_base_is_handed_on(install: Install) -> None:
    docker = install("docker")
    build_images.main(["--only", "exporter", "--base", "example.org/python:3.13"])
    (line,) = commands(docker, "build")
    assert "--build-arg=BASE=example.org/python:3.13" in line
    assert "BUILDER" not in line


def test_another_builder_is_handed_on(install: Install) -> None:
    docker = install("docker")
    build_images.main(["--only", "llamacpp", "--builder", "example.org/python:3.13-full"])
    assert "--build-arg=BUILDER=example.org/python:3.13-full" in commands(docker, "build")[0]


def test_podman_builds_where_docker_does_not_work(install: Install) -> None:
    install("docker", info=1)
    podman = install("podman")

    assert build_images.main(["--only", "exporter"]) == 0

    assert "--timestamp=0" in commands(podman, "build")[0]


def test_neither_tool_is_told_with_what_to_install(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    assert build_images.main([]) == 2
    said = capsys.readouterr().err
    assert "Neither docker nor podman is installed" in said
    assert "apt-get install podman" in said


def test_a_tool_without_its_service_is_told(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("docker", info=1)
    assert build_images.main([]) == 2
    assert "`docker info` fails" in capsys.readouterr().err


def test_an_unknown_image_is_told_with_those_that_there_are(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("docker")
    assert build_images.main(["--only", "exportr"]) == 2
    assert "there is no image 'exportr'.\nThere is exporter, simulator" in capsys.readouterr().err


def test_a_failed_build_ends_it(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    docker = install("docker", build=7)
    assert build_images.main([]) == 1
    assert len(commands(docker, "build")) == 1
    assert "`docker build` failed with exit code 7" in capsys.readouterr().err


def test_every_dockerfile_is_of_a_published_image_but_for_the_one_that_is_too_large() -> None:
    folders = {path.parent.name for path in (ROOT / "images").glob("*/Dockerfile")}
    assert folders == {*IMAGES, VLLM_CPU.name}


@every_dockerfile
def test_what_a_dockerfile_copies_is_what_a_change_of_builds_it_anew(image: Image) -> None:
    text = (ROOT / image.dockerfile).read_text().replace("\\\n", " ")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    shared = {"images/install.sh", BUILD_LOCK}

    taken = {source for sources in copied for source in sources} - shared

    assert {source for source in taken if not source.startswith(f"images/{image.name}/")} == set(image.sources)


@every_dockerfile
def test_a_dockerfile_goes_by_the_base_that_it_is_given(image: Image) -> None:
    lines = (ROOT / image.dockerfile).read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == ["FROM ${BUILDER} AS build", "FROM ${BASE}"]
    assert "ARG BASE=docker.io/library/python:3.12-slim" in lines
