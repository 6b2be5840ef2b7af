"""Settings files that are wrong are refused with the field and the way out, by every process that reads them."""

import subprocess
import sys
from pathlib import Path

import pytest

from joulebench_runner.config import DriverSettings, MeterSettings
from joulebench_runner.errors import BadInputError, ExitCode


@pytest.mark.parametrize("kind", [MeterSettings, DriverSettings])
def test_a_file_that_is_not_there_is_named(kind: type[MeterSettings | DriverSettings], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"cannot read the settings .*absent\.json: No such file") as caught:
        kind.read_given(tmp_path / "absent.json")
    assert caught.value.remedy


def test_a_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "driver.json"
    path.write_text('{"run_id": 7}')
    with pytest.raises(BadInputError, match=r"driver\.json: run_id: Input should be a valid string") as caught:
        DriverSettings.read_given(path)
    assert "DriverSettings" in (caught.value.remedy or "")


@pytest.mark.parametrize("process", ["meter", "driver", "fetch"])
def test_every_process_ends_with_the_reason_and_without_a_traceback(process: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"joulebench_runner.{process}", "--settings", str(tmp_path / "absent.json")]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == ExitCode.BAD_INPUT
    assert "cannot read the settings" in ended.stderr
    assert "Traceback" not in ended.stderr
