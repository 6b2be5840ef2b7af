"""`joulebench validate` of 1,000 documents, in the shapes that the examples have, as a process of its own."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from joulebench_api.yaml_tree import parse

DOCUMENTS = 1_000
BAR_SECONDS, HELP_BAR_SECONDS = 5.0, 0.5
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
COMMAND = (sys.executable, "-c", "from joulebench_runner.cli.validate import validate; validate()")


def write_documents(folder: Path) -> int:
    """Copies of all examples, each copy of them in a file of its own; returns the number of documents."""
    texts = [path.read_text() for path in sorted(EXAMPLES.rglob("*.yaml"))]
    text = "\n---\n".join(texts)
    in_one = len(parse(text, source="examples").documents)
    copies = -(-DOCUMENTS // in_one)
    for copy in range(copies):
        (folder / f"{copy}.yaml").write_text(text)
    return copies * in_one


def seconds(*arguments: str) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    subprocess.run([*COMMAND, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        documents = write_documents(Path(folder))
        took = seconds(folder)
    print(f"validate, {documents} documents: {took:.2f} s (bar {BAR_SECONDS:.0f} s)")
    shortest = min(seconds("--help") for _ in range(3))
    print(f"validate --help: {shortest:.2f} s (bar {HELP_BAR_SECONDS} s)")


if __name__ == "__main__":
    main()
