"""The reference pages: every field is told, every link leads somewhere."""

import re

from tools import generate_api_reference

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.crd.kinds import KINDS

PAGES = generate_api_reference.render()


def test_there_is_a_page_for_each_kind_the_configuration_and_conditions() -> None:
    assert [path.rsplit("/", 1)[1] for path in PAGES] == [
        "model-server.md",
        "benchmark-run.md",
        "benchmark-campaign.md",
        "operator-configuration.md",
        "conditions.md",
    ]


def test_every_field_of_a_spec_is_told() -> None:
    for kind in KINDS:
        text = PAGES[f"docs/reference/api/{generate_api_reference.page_name(kind.name)}"]
        missing = [field.alias for field in kind.spec.model_fields.values() if f"`{field.alias}`" not in text]
        assert missing == [], kind.name


def test_every_condition_and_reason_is_told() -> None:
    text = PAGES["docs/reference/api/conditions.md"]

    assert [word for word in (*Reason, *ConditionType) if f"| `{word}` |" not in text] == []


def test_every_link_leads_to_a_heading() -> None:
    headings = {
        path.rsplit("/", 1)[1]: {line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#")}
        for path, text in PAGES.items()
    }
    for path, text in PAGES.items():
        here = path.rsplit("/", 1)[1]
        for page, heading in re.findall(r"\]\(([a-z-]+\.md)?(?:#([a-z0-9]+))?\)", text):
            assert not heading or heading in headings[page or here], (path, page, heading)


def test_tables_have_the_same_number_of_cells_in_each_row() -> None:
    for path, text in PAGES.items():
        for block in text.split("\n\n"):
            if block.startswith("| "):
                cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
                assert len(cells) == 1, (path, block[:200])
