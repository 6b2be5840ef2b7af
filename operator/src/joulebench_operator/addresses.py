"""Where pods are to be reached."""

from collections.abc import Mapping
from typing import Any


def address(pod: Mapping[str, Any]) -> str | None:
    """The pod's address."""
    found: str | None = (pod.get("status") or {}).get("podIP")
    return found or None


def with_port(host: str, port: int) -> str:
    """`host:port`, for addresses of both kinds."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
