"""No process outlives the one that started it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from joulebench_runner.errors import ExitCode

CHILD = """
import signal
from joulebench_runner.processes import die_with_parent
die_with_parent(watch_stdin={watch})
print("up", flush=True)
signal.pause()
"""
DEADLINE_SECONDS = 20


def command(*, watch: bool) -> list[str]:
    return [sys.executable, "-c", CHILD.format(watch=watch)]


def test_end_of_standard_input_ends_the_process() -> None:
    with subprocess.Popen(command(watch=True), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"up\n"
        child.stdin.close()
        assert child.wait(DEADLINE_SECONDS) == ExitCode.INFRASTRUCTURE


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_parent_takes_its_child_along() -> None:
    """The parent starts the child, tells its pid, and is killed; the pipe both hold ends only with the child."""
    start = f"import subprocess, signal; subprocess.Popen({command(watch=False)!r}); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        started = time.monotonic()
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.stdout.read() == b""
        assert time.monotonic() - started < DEADLINE_SECONDS
