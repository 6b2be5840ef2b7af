"""The report of 2,000 and of 100,000 questions: its time, its size and the memory it takes, each in its own process."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.synthetic_run import write_run

MEGABYTE, GIBIBYTE = 1e6, 1 << 30
BARS: dict[int, tuple[float, float]] = {2_000: (5.0, 10.0), 100_000: (30.0, 10.0)}
"""Questions: (seconds, MB)."""
BAR_MEMORY_GIBIBYTES = 1.0


def report(folder: Path) -> None:
    """In the child: write the report as the command does, and print seconds, bytes and peak memory."""
    began = time.perf_counter()
    from joulebench_runner.report import write_report
    from joulebench_runner.results.folder import open_run

    written = write_report(open_run(folder))
    print(time.perf_counter() - began, written.size_bytes, peak_bytes())


def peak_bytes() -> int:
    """The most memory that this process ever had. Linux carries `ru_maxrss` over from the parent; VmHWM is our own."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print the table."""
    print("report, from result files to report.html, 1,500 characters of prompt and of answer a question")
    for questions, (bar_seconds, bar_megabytes) in BARS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_run(Path(folder), questions=questions, text_characters=1500, seconds_each=0.1)
            command = [sys.executable, "-m", "tests.bench.report", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        seconds, size, peak = map(float, done.stdout.split())
        print(
            f"  {questions:>7,} questions"
            f"  {seconds:5.2f} s ({seconds / bar_seconds:4.2f} x the bar of {bar_seconds:g} s)"
            f"  {size / MEGABYTE:5.2f} MB ({size / MEGABYTE / bar_megabytes:4.2f} x the bar of {bar_megabytes:g} MB)"
            f"  {peak / GIBIBYTE:4.2f} GiB ({peak / GIBIBYTE / BAR_MEMORY_GIBIBYTES:4.2f} x the bar)"
        )


if __name__ == "__main__":
    report(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
