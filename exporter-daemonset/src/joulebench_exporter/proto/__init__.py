"""The wire format: `energy.proto` and the stubs generated from it (`make generate`)."""

from typing import Final

PROTOCOL_VERSION: Final = 1
"""Raised when an older reader would misunderstand what a newer exporter sends."""
