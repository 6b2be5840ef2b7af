"""The catalogue: what this release brings along, as a file that needs no runner to be read."""

import json

import pytest
from tools import generate_catalog

from joulebench_api.catalog import catalog, read
from joulebench_api.engines.presets import PRESETS
from joulebench_runner.tasks.registry import REGISTRY


def test_the_file_is_what_the_registries_say() -> None:
    assert generate_catalog.generate(check=True) == []


def test_drift_is_noticed_and_mended(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    target = generate_catalog.ROOT / "crds" / "src" / "joulebench_api" / "catalog.json"
    monkeypatch.setattr(generate_catalog, "TARGET", target.parent / "nothing" / "catalog.json")

    assert generate_catalog.generate(check=True) == ["crds/src/joulebench_api/nothing/catalog.json"]
    assert not generate_catalog.TARGET.exists()


def test_it_names_the_tasks_with_their_parameters_the_presets_and_the_engines() -> None:
    known = catalog()

    assert known.tasks.keys() == REGISTRY.keys()
    assert known.tasks["fixed_length"].params.keys() == {"inputTokens", "outputTokens", "records"}
    assert known.presets.keys() == PRESETS.keys()
    assert set(known.startable) <= set(known.engines)
    assert "HFDataset" in known.exports


def test_a_file_of_another_version_is_refused() -> None:
    content = json.loads(generate_catalog.render())
    with pytest.raises(ValueError, match="schemaVersion 2"):
        read(content | {"schemaVersion": 2})
