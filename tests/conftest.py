"""What every part of the tests shares."""

import pytest
from hypothesis import settings

# A busy machine is no defect, so examples have no time limit. Where the variable CI is set, Hypothesis itself chooses
# its profile `ci`: the same examples each time.
settings.register_profile("joulebench", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("joulebench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a real model run one after the other, also on many workers: the model takes all cores."""
    for item in items:
        if item.get_closest_marker("model") is not None:
            item.add_marker(pytest.mark.xdist_group("model"))
