"""Writes `catalog.json`, what `joulebench validate` knows of the runner, from the registries themselves."""

import json
import sys
from pathlib import Path
from typing import Any

from joulebench_api.catalog import SCHEMA_VERSION
from joulebench_api.engines.presets import PRESETS
from joulebench_api.engines.registry import BUILDERS
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.results import Export
from joulebench_runner.tasks.entry import TaskEntry
from joulebench_runner.tasks.registry import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "crds" / "src" / "joulebench_api" / "catalog.json"


def generate(*, check: bool) -> list[str]:
    """Make the file anew; return its path (from the repository's root) if it differs from what was there.

    With `check` nothing is written.
    """
    text = render()
    if TARGET.exists() and TARGET.read_text() == text:
        return []
    if not check:
        TARGET.write_text(text)
    return [str(TARGET.relative_to(ROOT))]


def render() -> str:
    """The file's content."""
    content = {
        "schemaVersion": SCHEMA_VERSION,
        "tasks": [_task(REGISTRY[name]) for name in sorted(REGISTRY)],
        # Agents and their tools have no registry yet.
        "agents": [],
        "tools": [],
        "presets": [
            {"name": preset.name, "engine": preset.engine.value, "model": preset.model_name}
            for preset in PRESETS.values()
        ],
        "engines": [{"name": engine.value, "startable": engine in BUILDERS} for engine in Engine],
        "exports": [export.value for export in Export],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _task(entry: TaskEntry) -> dict[str, Any]:
    return {
        "name": entry.key,
        "title": entry.title,
        "description": entry.description,
        "licence": entry.licence,
        "scored": entry.scored,
        "params": [
            {
                "name": parameter.name,
                "kind": parameter.kind,
                "description": parameter.description,
                "default": parameter.default,
            }
            for parameter in entry.parameters
        ],
    }


def main() -> int:
    """Run from the command line."""
    check = "--check" in sys.argv[1:]
    changed = generate(check=check)
    for path in changed:
        print(f"{'out of date' if check else 'wrote'}: {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
