"""Writes the CRDs, the chart's copy and the JSON Schemas for editors; `--check` only says which are out of date.

python tools/generate_crds.py [--check]
python tools/generate_crds.py --release v0.1.0     keeps the CRDs of a release, which later ones must not break
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.crd.definition import GROUP, definition
from joulebench_api.crd.jsonschema import dispatching, of_file, of_kind
from joulebench_api.crd.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("crds/generated")
CHART_FOLDER = Path("charts/joulebench/files/crds")
GOLDEN_FOLDER = Path("crds/golden")
HEADER = "# Generated from crds/src/joulebench_api by `make generate`; do not edit.\n"


def generate(*, check: bool, root: Path = ROOT) -> list[str]:
    """Write all files anew; return the paths (from `root`) that differ from what was there.

    With `check` nothing is written. Files in our folders that nothing generates any more are named (and removed) too.
    """
    made = files()
    changed = sorted(path for path, text in made.items() if _present(root / path) != text)
    left_over = sorted(path for path in _found(root) if path not in made)
    if not check:
        for path in changed:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(made[path])
        for path in left_over:
            (root / path).unlink()
    return changed + left_over


def files() -> dict[str, str]:
    """Path -> text of everything that is generated."""
    definitions = {f"{kind.plural}.{GROUP}.yaml": as_yaml(definition(kind)) for kind in KINDS}
    schemas = {f"{kind.name}.json": of_kind(kind) for kind in KINDS}
    schemas |= {"joulebench.json": dispatching(KINDS), "OperatorConfiguration.json": of_file(OperatorConfiguration)}
    return {
        **{str(folder / name): text for folder in (FOLDER, CHART_FOLDER) for name, text in definitions.items()},
        **{str(FOLDER / "schemas" / name): json.dumps(schema, indent=1) + "\n" for name, schema in schemas.items()},
    }


def as_yaml(document: Mapping[str, Any]) -> str:
    """The document in block style, in the order of its keys, without line folding or anchors."""
    yaml = YAML()
    yaml.width = 1_000_000
    yaml.indent(mapping=2, sequence=2, offset=0)
    yaml.representer.ignore_aliases = lambda _data: True
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    return HEADER + buffer.getvalue()


def keep_release(release: str, *, root: Path = ROOT) -> None:
    """Keep the CRDs as those of a release; a release that is kept already is never changed."""
    folder = root / GOLDEN_FOLDER / release
    if folder.exists():
        raise SystemExit(f"{folder} is there already; the CRDs of a release are never changed")
    folder.mkdir(parents=True)
    for kind in KINDS:
        (folder / f"{kind.plural}.{GROUP}.yaml").write_text(as_yaml(definition(kind)))


def _present(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _found(root: Path) -> list[str]:
    found = [*(root / FOLDER).rglob("*.*"), *(root / CHART_FOLDER).glob("*.*")]
    return [str(path.relative_to(root)) for path in found if path.is_file()]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if anything has drifted")
    parser.add_argument("--release", metavar="VERSION", help="keep the CRDs as those of a release")
    arguments = parser.parse_args()
    if arguments.release:
        keep_release(arguments.release)
        return 0
    changed = generate(check=arguments.check)
    for path in changed:
        print(f"{'out of date' if arguments.check else 'wrote'}: {path}")
    return 1 if arguments.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
