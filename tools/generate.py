"""Writes everything that is generated from the code; with `--check` only says what has drifted (exit code 1).

python tools/generate.py [--check]
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import (  # noqa: E402 - needs the path above
    generate_api_reference,
    generate_catalog,
    generate_chart,
    generate_cli_reference,
    generate_crds,
    generate_exporter_flags,
    generate_image_locks,
    generate_metrics_reference,
    generate_operator_reference,
    generate_proto,
    generate_results_reference,
)

OTHERS: Sequence[Callable[..., list[str]]] = (
    generate_proto.generate,
    generate_crds.generate,
    generate_catalog.generate,
)


def pages() -> dict[str, str]:
    """The reference pages, the locks of images and parts of the chart, by their paths."""
    return {
        "docs/reference/results.md": generate_results_reference.render(),
        "docs/reference/cli.md": generate_cli_reference.render(),
        "docs/reference/exporter-metrics.md": generate_metrics_reference.render(),
        "docs/reference/exporter-flags.md": generate_exporter_flags.render(),
        "docs/reference/operator.md": generate_operator_reference.render(),
        **generate_api_reference.render(),
        **generate_chart.render(),
        **generate_image_locks.render(),
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
    found = [_write_page(ROOT / name, text, check=check) for name, text in pages().items()]
    messages = [message for message in found if message]
    messages += [message for generate in OTHERS for message in generate(check=check)]
    for message in messages:
        print(message)
    return 1 if check and messages else 0


if __name__ == "__main__":
    sys.exit(main())
