"""The first container of a pod: questions from a hub on this machine into the folder that the driver reads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runner.tasks.hub import SHA, Hub, gsm8k, serving

from joulebench_api.contracts.preflight import PreflightReport
from joulebench_runner.config import DriverSettings, TaskSettings
from joulebench_runner.errors import ExitCode

ROWS = [{"question": "How many are 3 and 4?", "answer": "#### 7"}]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub({"openai/gsm8k": gsm8k(ROWS)}, gated=("openai/gsm8k",))) as served:
        yield served


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*, token: str | None = None, **task: Any) -> "subprocess.CompletedProcess[str]":
        known: dict[str, Any] = {"name": "gsm8k", "offline": True, "data_root": tmp_path / "data"}
        paths = {"run_dir": tmp_path, "control_socket": tmp_path / "c", "ready_file": tmp_path / "r"}
        DriverSettings(run_id="r", task=TaskSettings(**(known | task)), **paths).write(tmp_path / "driver.json")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return subprocess.run(
            [sys.executable, "-m", "joulebench_runner.fetch", "--settings", str(tmp_path / "driver.json"),
             "--termination-file", str(tmp_path / "termination-log")],
            env=environment | ({} if token is None else {"HUB_TOKEN": token}) | {"HOME": str(tmp_path / "none")},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


def test_questions_come_with_the_token_alone_into_the_drivers_folder(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    done = fetch(token=hub.token, hub_endpoint=hub.url, hub_token_variable="HUB_TOKEN")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "gsm8k: fetched: 1 rows" in done.stdout
    manifest = json.loads((tmp_path / "data" / "gsm8k" / "manifest.json").read_text())
    assert manifest["files"]["test.jsonl"]["source"]["revision"] == SHA
    assert not (tmp_path / "termination-log").exists()


def test_a_gated_set_without_a_token_is_told_in_the_termination_message(hub: Hub, fetch: Any, tmp_path: Path) -> None:
    done = fetch(hub_endpoint=hub.url)
    assert done.returncode == ExitCode.BAD_INPUT
    report = PreflightReport.model_validate_json((tmp_path / "termination-log").read_text())
    [finding] = report.findings
    assert (finding.field, finding.value) == ("spec.task", "gsm8k")
    assert "is gated" in finding.message
    assert finding.remedy


def test_a_hub_that_is_away_may_be_tried_again(fetch: Any, tmp_path: Path) -> None:
    done = fetch(hub_endpoint="http://127.0.0.1:9")
    assert done.returncode == ExitCode.INFRASTRUCTURE, done.stderr
    assert "cannot be asked" in (tmp_path / "termination-log").read_text()


def test_a_task_that_is_made_here_needs_no_hub(fetch: Any) -> None:
    done = fetch(name="everyday")
    assert (done.returncode, done.stdout) == (ExitCode.DONE, "everyday: made here\n")


@pytest.mark.parametrize(
    ("task", "words"), [({"name": "gsm9k"}, "there is no task 'gsm9k'"), ({"data_root": None}, "task.data_root: null")]
)
def test_wrong_settings_are_told(fetch: Any, task: dict[str, Any], words: str) -> None:
    done = fetch(**task)
    assert done.returncode == ExitCode.BAD_INPUT
    assert words in done.stderr
