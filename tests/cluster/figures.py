"""Figures that the suite measures and prints at its end."""

FIGURES: dict[str, float] = {}
"""What was measured, by name with its unit."""
