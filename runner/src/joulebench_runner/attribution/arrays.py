"""Array types of the attribution; times are nanoseconds, energies millijoules, both int64."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


def ints(*values: int) -> Ints:
    """A small int64 array."""
    return np.array(values, dtype=np.int64)
