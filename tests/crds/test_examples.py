"""Every example is good, says what it shows and how to run it, and is listed."""

import re
from pathlib import Path

import pytest

from joulebench_api.checking.names_used import check_names
from joulebench_api.engines.registry import engine_of, local_builder
from joulebench_api.loading import load, load_all, server_spec
from joulebench_api.merging import cells
from joulebench_api.problems import Severity
from joulebench_api.v1alpha1 import External

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ALL = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml"))

LAPTOP = (
    "demo.yaml", "everyday-simulator.yaml", "external.yaml", "gsm8k-laptop.yaml", "gsm8k-simulator.yaml",
    "stories/external-prices.yaml",
)  # fmt: skip
"""Examples that `joulebench run` takes on a machine without GPU and cluster (some need a key or a file; see each)."""

STORIES = {
    "single-gpu", "volume-and-taints", "external-prices", "agent-tools-judge", "submodels", "open-loop", "two-replicas",
    "variants", "air-gapped", "queued", "restricted", "sharded",
}  # fmt: skip


def text_of(name: str) -> str:
    return (EXAMPLES / name).read_text()


def test_there_is_one_for_each_story() -> None:
    assert {Path(name).stem for name in ALL if name.startswith("stories/")} == STORIES


@pytest.mark.parametrize("name", ALL)
def test_an_example_is_good(name: str) -> None:
    file = load_all(text_of(name), source=name)

    assert file.documents
    assert file.problems == []
    assert all(problem.severity is Severity.WARNING for problem in check_names(file.documents))


@pytest.mark.parametrize("name", ALL)
def test_an_example_begins_with_what_it_shows_and_how_to_run_it(name: str) -> None:
    head = text_of(name).split("apiVersion:")[0].splitlines()

    assert 2 <= len(head) <= 6
    assert all(line.startswith("# ") for line in head)
    assert any(f"examples/{name}" in line for line in head)


def test_the_index_lists_them_all() -> None:
    index = text_of("README.md")
    assert [name for name in ALL if f"({name})" not in index] == []


@pytest.mark.parametrize("name", LAPTOP)
def test_what_is_for_a_laptop_can_be_started_there(name: str) -> None:
    loaded = load(text_of(name), source=name)
    server = server_spec(loaded)

    assert loaded.warnings == []
    assert isinstance(server, External) or local_builder(engine_of(server))
    assert (loaded.run.spec.agent, loaded.run.spec.load, loaded.run.spec.submodels) == (None, None, ())


# --- the guide --------------------------------------------------------------------------------------------------------

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in sorted(GUIDE.glob("*.md"))
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
]


FOREIGN = re.compile(r"^apiVersion: (?!\S*joulebench)", re.MULTILINE)
"""Of objects of Kubernetes' own kinds."""


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if "\nspec:" in str(block.values[0]) and not FOREIGN.search(str(block.values[0]))],
)
def test_a_whole_object_in_the_guide_is_good(block: str) -> None:
    if "kind:" not in block:
        block = f"apiVersion: joulebench.dev/v1alpha1\nkind: ModelServer\nmetadata: {{name: a}}\n{block}"

    assert load_all(block, source="guide").problems == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if "OperatorConfiguration" in str(block.values[0])])
def test_a_whole_configuration_in_the_guide_is_good(block: str) -> None:
    assert load_all(block, source="guide").problems == []


HEAD = "apiVersion: joulebench.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n{spec}"
PARTS = {
    "modelserver.md": "  engine: vLLM\n  model: a/b\n",
    "benchmarkrun.md": "  server: {template: {spec: {engine: vLLM, model: m}}}\n  task: {name: gsm8k}\n",
}
KINDS = {"modelserver.md": "ModelServer", "benchmarkrun.md": "BenchmarkRun"}


@pytest.mark.parametrize("page", KINDS)
def test_parts_of_a_spec_in_the_guide_are_good(page: str) -> None:
    parts = re.findall(r"```yaml\n(  .*?)```", (GUIDE / page).read_text(), re.DOTALL)
    assert parts
    for part in parts:
        # Several ways to say one field stand below each other: each is tried alone.
        ways = part.splitlines(keepends=True) if re.search(r"^  (server|source): \{", part) else [part]
        for way in ways:
            field = way.split(":")[0].strip()
            others = "".join(
                line for line in PARTS[page].splitlines(keepends=True) if not line.startswith(f"  {field}:")
            )
            file = load_all(HEAD.format(kind=KINDS[page], spec=others + way), source=page)
            assert file.problems == [], way


def test_the_campaign_of_the_guide_has_as_many_cells_as_it_says() -> None:
    page = (GUIDE / "benchmarkcampaign.md").read_text()
    file = load_all(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0], source="guide")

    assert len(cells("nightly", file.documents[0].entry.document.data["spec"])) == 6
    assert "Six cells" in page
