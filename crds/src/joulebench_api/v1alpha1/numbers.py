"""Whole numbers and truth values: never read from text, never from a float, as on the API server."""

from typing import Annotated

from pydantic import Field, Strict

INT32_MAX = 2**31 - 1

Count = Annotated[int, Strict(), Field(ge=0, le=INT32_MAX)]
PositiveInt = Annotated[int, Strict(), Field(ge=1, le=INT32_MAX)]
Count64 = Annotated[int, Strict(), Field(ge=0, le=2**63 - 1)]
"""For what is counted without end, such as bytes and tokens."""
Int64 = Annotated[int, Strict(), Field(ge=-(2**63), le=2**63 - 1)]
PercentInt = Annotated[int, Strict(), Field(ge=0, le=100)]
Percentile = Annotated[int, Strict(), Field(ge=1, le=100)]
Bool = Annotated[bool, Strict()]
