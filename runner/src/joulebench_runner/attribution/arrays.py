"""Array types of the attribution; times are nanoseconds, energies millijoules, both int64."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


def ints(*values: int) -> Ints:
    """A small int64 array."""
    return np.array(values, dtype=np.int64)


def as_ints(values: Any) -> Ints:
    """As int64, without a copy where it is int64 already (numpy's stubs know the type of few expressions)."""
    return np.asarray(values, dtype=np.int64)


def as_floats(values: Any) -> Floats:
    """As float64, likewise."""
    return np.asarray(values, dtype=np.float64)


def as_bools(values: Any) -> Bools:
    """As bool, likewise."""
    return np.asarray(values, dtype=np.bool_)
