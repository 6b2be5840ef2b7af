"""What the chart's tests look at."""

from collections.abc import Callable
from typing import Any, Final

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]
"""Rendered objects by kind and name; of those with several namespaces, `name/namespace`."""
Render = Callable[..., Objects]
Refuse = Callable[..., str]

RELEASE: Final = "joulebench"
NAMESPACE: Final = "joulebench-system"
