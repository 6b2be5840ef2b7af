"""Writes everything that is generated from the code; with `--check` only says what has drifted (exit code 1).

python tools/generate.py [--check]
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import generate_cli_reference, generate_proto, generate_results_reference  # noqa: E402 - needs the path above

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/results.md": generate_results_reference.render,
    "docs/reference/cli.md": generate_cli_reference.render,
}


def _write_page(path: Path, text: str, *, check: bool) -> str | None:
    """Write a page, or say how it differs from what it should be."""
    present = path.read_text() if path.exists() else ""
    if present == text:
        return None
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return f"wrote {path.relative_to(ROOT)}"
    difference = difflib.unified_diff(present.splitlines(), text.splitlines(), lineterm="", n=0)
    return f"{path.relative_to(ROOT)} has drifted; run `make generate`:\n" + "\n".join(list(difference)[:20])


def main() -> int:
    """Generate or check all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if anything has drifted")
    check: bool = parser.parse_args().check
    found = [_write_page(ROOT / name, render(), check=check) for name, render in PAGES.items()]
    messages = [message for message in found if message] + generate_proto.generate(check=check)
    for message in messages:
        print(message)
    return 1 if check and messages else 0


if __name__ == "__main__":
    sys.exit(main())
