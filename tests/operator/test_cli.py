"""The command's own words: what it refuses, and how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "VIRTUAL_ENV"}}
    argv = [sys.executable, "-m", "joulebench_operator", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=kept | environment)


def test_help_teaches_and_needs_no_cluster() -> None:
    found = command("--help")
    assert found.returncode == 0
    for word in ("--config", "--watch-namespaces", "--leader-elect", "JOULEBENCH_OPERATOR_CONFIG", "Exit status"):
        assert word in found.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--lease-namespace: missing. Name one, or give --no-leader-elect."),
        (("--no-leader-elect", "--image", "runner"), "--image runner: not PART=IMAGE"),
        (("--no-leader-elect", "--metrics-listen", "9782"), "--metrics-listen 9782: not HOST:PORT"),
        (("--no-leader-elect", "--config", "/nowhere.yaml"), "--config /nowhere.yaml: No such file or directory"),
    ],
)
def test_wrong_flags_are_refused_with_the_way_out(words: tuple[str, ...], said: str) -> None:
    found = command(*words)
    assert (found.returncode, said in found.stderr) == (2, True), found.stderr


def test_a_flag_may_stand_in_the_environment(tmp_path: Path) -> None:
    found = command("--no-leader-elect", JOULEBENCH_OPERATOR_CONFIG=str(tmp_path / "absent.yaml"))
    assert (found.returncode, "absent.yaml" in found.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: OperatorConfiguration\napiVersion: config.joulebench.dev/v1alpha1\nengins: {}\n", "engins"),
        ("kind: ModelServer\napiVersion: joulebench.dev/v1alpha1\nmetadata: {name: a}\n", "spec"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    found = command("--no-leader-elect", "--config", str(file))
    assert (found.returncode, said in found.stderr, "config.yaml:" in found.stderr) == (2, True, True), found.stderr


def test_without_a_cluster_it_says_how_to_name_one(tmp_path: Path) -> None:
    found = command(
        "--no-leader-elect", "--metrics-listen", "127.0.0.1:0", "--probes-listen", "127.0.0.1:0", HOME=str(tmp_path)
    )
    assert (found.returncode, "Set KUBECONFIG" in found.stderr) == (2, True), found.stderr
