"""Figures that the suite measures and prints at its end, beside their bars."""

IDLE_MEMORY = "memory of everything, idle (MiB)"
BARS = {
    "start to node Ready (s)": 10.0,
    "stop (s)": 3.0,
    IDLE_MEMORY: 1536.0,
}
"""The most that each may be on an idle machine with two cores."""

FIGURES: dict[str, float] = {}
"""What was measured, by name with its unit."""


def lines() -> list[str]:
    """The figures as text."""
    return [f"{name}: {value:.1f}{_bar(name, value)}" for name, value in FIGURES.items()]


def _bar(name: str, value: float) -> str:
    bar = BARS.get(name)
    return "" if bar is None else f" (bar: {bar:g}{', MISSED' if value > bar else ''})"
