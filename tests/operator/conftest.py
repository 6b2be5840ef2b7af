"""What the tests of the operator share."""

from collections.abc import Iterator

import pytest
from tests.operator.turned_loop import TurnedLoop


@pytest.fixture
def loop() -> Iterator[TurnedLoop]:
    """An event loop whose clock jumps to the next timer."""
    made = TurnedLoop()
    yield made
    made.close()
