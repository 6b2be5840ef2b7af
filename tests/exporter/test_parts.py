"""Small parts: durations, logs, generated stubs, what the client drags in."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from joulebench_exporter.durations import parse_ns
from joulebench_exporter.logs import JsonFormatter

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("100ms", 100_000_000), ("0.1s", 100_000_000), ("2 s", 2_000_000_000), ("1m", 60_000_000_000), ("250us", 250_000)],
)
def test_durations_are_read_as_people_write_them(text: str, nanoseconds: int) -> None:
    assert parse_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "ms", "-1s", "1h", "1s 2ms"])
def test_a_duration_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_ns(text)


def test_a_log_line_is_one_json_object_with_its_extras() -> None:
    record = logging.makeLogRecord(
        {"name": "part", "levelname": "INFO", "msg": "read %d", "args": (3,), "device": "gpu-0"}
    )
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"], line["device"]) == ("info", "part", "read 3", "gpu-0")
    assert line["time"].endswith("+00:00")


def test_a_log_line_stays_one_line_with_a_traceback() -> None:
    error = ValueError("broken")
    record = logging.makeLogRecord({"msg": "failed", "exc_info": (type(error), error, None)})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: broken" in json.loads(text)["traceback"]


def test_the_client_drags_in_neither_sensors_nor_the_server() -> None:
    program = (
        "import sys, joulebench_exporter.client; print(*sorted(m for m in sys.modules if 'joulebench_exporter' in m))"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "joulebench_exporter.client" in output
    assert not [module for module in output if "sensor" in module or "sampler" in module or "server" in module]


def test_the_generated_stubs_are_up_to_date() -> None:
    pytest.importorskip("grpc_tools")
    command = [sys.executable, str(ROOT / "tools" / "generate_proto.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
