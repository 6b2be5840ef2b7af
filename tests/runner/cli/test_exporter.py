"""`joulebench exporter`: with a real exporter process on this machine."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUN = "import sys; from joulebench_runner.cli import main; main.main()"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, "exporter", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_recording_has_a_line_a_device_and_interval(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    done = run("--sensor", "modelled", "--duration", "0.9", "--interval", "0.2", "--csv", str(path))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) >= 3
    assert {row["kind"] for row in rows} == {"modelled"}
    energies = [float(row["energy_joules"]) for row in rows if row["energy_joules"]]
    assert energies == sorted(energies)
    assert energies[-1] > 0
    assert "since" in done.stdout
    assert str(path) in done.stdout


def test_ctrl_c_ends_in_order_and_json_is_lines_and_nothing_else() -> None:
    command = [sys.executable, "-c", RUN, "exporter", "--sensor", "modelled", "--interval", "0.1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert first["kind"] == "modelled"
    assert all(json.loads(line)["device"] == first["device"] for line in rest.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--sensor", "raple"], "Did you mean 'rapl'?", 2),
        (["--target", "unix:/nowhere/exporter.sock"], "Does the exporter run", 1),
        (["--csv", "/nowhere/power.csv"], "No such file or directory", 2),
        (["--interval", "5"], "0.1<=x<=1.0", 2),
    ],
)
def test_what_cannot_be_watched_says_why(arguments: list[str], words: str, code: int) -> None:
    done = run(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
