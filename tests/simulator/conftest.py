"""Simulators as real processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from joulebench_simulator.cli import DEVICES_VARIABLE

DEADLINE_SECONDS = 20.0


@dataclass(kw_only=True)
class Simulator:
    """A started simulator."""

    process: "subprocess.Popen[str]"
    url: str
    folder: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    @property
    def device(self) -> Path:
        return self.folder / "0.device"


def _start(folder: Path, options: tuple[str, ...]) -> Simulator:
    ready = folder / "ready.json"
    own_device = [] if DEVICES_VARIABLE in os.environ else ["--device-file", str(folder / "0.device")]
    command = [
        *(sys.executable, "-m", "joulebench_simulator", "--port", "0", "--ready-file", str(ready), "--exit-with-stdin"),
        *(*own_device, "--log", str(folder / "log.jsonl"), *options),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not ready.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the simulator did not start"
        time.sleep(0.01)
    return Simulator(process=process, url=json.loads(ready.read_text())["url"], folder=folder)


def _stop(simulator: Simulator) -> None:
    if simulator.process.poll() is None:
        simulator.process.kill()
    simulator.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    """Start simulators; all are gone at the end of the test."""
    with ExitStack() as stack:

        def started(*options: str) -> Simulator:
            simulator = _start(tmp_path, options)
            stack.callback(_stop, simulator)
            return simulator

        yield started


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One quick simulator for all tests of a module that change nothing."""
    started = _start(tmp_path_factory.mktemp("simulator"), ("--speed", "unlimited", "--words", "20-20"))
    yield started
    _stop(started)
