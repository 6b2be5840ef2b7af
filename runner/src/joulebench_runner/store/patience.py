"""How long something that fails is tried again, and how long each wait is."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

_Value = TypeVar("_Value")

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 15.0


def waits() -> Iterator[float]:
    """Seconds to wait before each further try: they double up to the longest, each shortened at random by up to a
    quarter, so that many who wait for one store do not all come back at once."""
    seconds = FIRST_WAIT_SECONDS
    while True:
        yield seconds * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
        seconds = min(2 * seconds, LONGEST_WAIT_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Tries again until `seconds` have passed since the first failure; 0: tries once."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def call(self, work: Callable[[], _Value], *, is_passing: Callable[[OSError], bool]) -> _Value:
        """What `work` returns. An OSError is raised if `is_passing` says no, or if it is still there at the end."""
        deadline: float | None = None
        for wait in waits():
            try:
                return work()
            except OSError as error:
                now = self.clock()
                deadline = now + self.seconds if deadline is None else deadline
                if now + wait > deadline or not is_passing(error):
                    raise
            self.sleep(wait)
        raise AssertionError("there is always another wait")


ONE_TRY: Final = Patience(seconds=0)
AT_THE_START: Final = Patience(seconds=5)
"""Before a run begins: its user is watching."""
AT_THE_END: Final = Patience(seconds=120)
"""Each file that is copied at the end; the results lie on this machine's disk meanwhile."""
