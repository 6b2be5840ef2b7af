"""The chart as Helm renders it. Helm is built with the test cluster's programs; without it these tests are skipped."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.chart.rendered import NAMESPACE, RELEASE, Object, Objects, Refuse, Render
from tests.cluster import binaries
from tools.images import ROOT

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C is ten times as fast, where there is one."""


@cache
def _helm() -> Path | None:
    module = next(module for module in binaries.MODULES if module.name == "helm")
    return None if module in binaries.missing() else binaries.built(module) / "helm"


def _template(*words: str, values: Object) -> subprocess.CompletedProcess[str]:
    program = _helm()
    if program is None:
        pytest.skip("Helm is not built; `make cluster-test` builds it, where Go is installed")
    command: list[str | Path] = [
        program,
        "template",
        RELEASE,
        ROOT / "charts" / "joulebench",
        f"--namespace={NAMESPACE}",
        *words,
    ]
    return subprocess.run(
        [*command, "--values=-"], input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="session")
def render() -> Render:
    """What is installed with these values; `words` are more of Helm's."""

    def rendered(*words: str, **values: Any) -> Objects:
        finished = _template(*words, values=values)
        assert finished.returncode == 0, finished.stderr
        found = [item for item in yaml.load_all(finished.stdout, _LOADER) if item]
        return {(item["kind"], _name(item["metadata"])): item for item in found}

    return rendered


def _name(metadata: Object) -> str:
    """The name; with the namespace where that is not the release's."""
    namespace = metadata.get("namespace", NAMESPACE)
    return str(metadata["name"]) if namespace == NAMESPACE else f"{metadata['name']}/{namespace}"


@pytest.fixture(scope="session")
def refuse() -> Refuse:
    """Helm's words about values that are wrong."""

    def refused(**values: Any) -> str:
        finished = _template(values=values)
        assert finished.returncode != 0, "was accepted"
        return finished.stderr

    return refused


@pytest.fixture(scope="session")
def plain(render: Render) -> Objects:
    """What is installed without any value."""
    return render()
