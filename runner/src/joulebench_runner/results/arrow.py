"""Arrow's compute functions, and columns, without their published type stubs.

The stubs lack the overloads that take a column and a Python value and know no kernel that returns either of the two
kinds of columns, so that every other line would need an exception. What these functions return is checked by the
schemas instead.
"""

from typing import Any, Final, TypeAlias

import pyarrow.compute as _compute

pc: Final[Any] = _compute

ArrowColumn: TypeAlias = Any
"""A `pyarrow.Array` or `pyarrow.ChunkedArray`."""
