"""Where real data lies, if it does."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def real_data() -> Path:
    """A folder with real data sets, one folder a task."""
    named = os.environ.get("JOULEBENCH_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist (JOULEBENCH_TEST_DATA names another folder)")
    return folder
