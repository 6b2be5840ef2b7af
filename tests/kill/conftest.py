"""A benchmark to be killed, with the simulator for a model."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kill.killing import KilledRun


@pytest.fixture
def killed_run(tmp_path: Path) -> Iterator[Callable[..., KilledRun]]:
    """A run of so many questions, not yet started. What is left of it at the end of the test is ended."""
    made: list[KilledRun] = []
    # Not below tmp_path, which may be too long for a socket's path.
    temporary = tempfile.TemporaryDirectory(prefix="joulebench-kill-")

    def make(*, questions: int, concurrency: int = 8, **engine_args: Any) -> KilledRun:
        file = tmp_path / "bench.yaml"
        server = {"engine": "Simulator", "model": "simulated", "engineArgs": engine_args}
        document = {
            "apiVersion": "joulebench.dev/v1alpha1",
            "kind": "BenchmarkRun",
            "metadata": {"name": "kill"},
            "spec": {
                "server": {"template": {"spec": server}},
                "task": {"name": "everyday", "limit": questions},
                "concurrency": concurrency,
                "warmup": {"queries": 0},
                "energy": {"idleBaseline": "0s"},
            },
        }
        file.write_text(json.dumps(document))  # JSON is YAML
        made.append(KilledRun(file, tmp_path / "run", Path(temporary.name)))
        return made[-1]

    yield make
    for run in made:
        run.close()
    temporary.cleanup()
