"""Fixtures that every part of the tests may use."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a real model run one after the other, also on many workers: the model takes all cores."""
    for item in items:
        if item.get_closest_marker("model") is not None:
            item.add_marker(pytest.mark.xdist_group("model"))
