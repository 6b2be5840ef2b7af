"""When the next tick of a steady counter will be, from looks at those before: a Kalman filter of its line. Pure.

Variances are in units of one look's own variance, so the gains are those of a straight line through all looks, until
what phase and period wander by themselves outweighs the oldest of them. (R. E. Kalman, "A New Approach to Linear
Filtering and Prediction Problems", Journal of Basic Engineering 82, 1960.)
"""

from typing import Final

_PHASE_WANDER: Final = 2e-4
_PERIOD_WANDER: Final = 2e-10
"""Variance that a tick adds to the phase, and to the period."""


class Foresight:
    """Begins with a tick that was seen, a period, and by how many ticks they are known."""

    __slots__ = ("_both_variance", "_period_variance", "period_ns", "phase_ns", "phase_variance")

    def __init__(self, *, phase_ns: float, period_ns: float, ticks: int) -> None:
        self.phase_ns = phase_ns
        """Best guess of the newest tick's time."""
        self.period_ns = period_ns
        # Those of a least-squares line at its last point.
        self.phase_variance = 4 / ticks
        self._both_variance = 6 / ticks**2
        self._period_variance = 12 / ticks**3

    def restart(self, phase_ns: float) -> None:
        """The phase is known by one tick only; the period stays."""
        self.phase_ns = phase_ns
        self.phase_variance, self._both_variance = 1.0, 0.0

    def advance(self, ticks: int) -> None:
        """So many ticks later."""
        self.phase_ns += ticks * self.period_ns
        grown = ticks * self._period_variance
        self.phase_variance += ticks * (2 * self._both_variance + grown + _PHASE_WANDER)
        self._both_variance += grown
        self._period_variance += ticks * _PERIOD_WANDER

    def correct(self, residual_ns: float) -> None:
        """The newest tick was seen so much later than guessed."""
        weight = 1 / (self.phase_variance + 1)
        phase_gain, period_gain = self.phase_variance * weight, self._both_variance * weight
        self.phase_ns += phase_gain * residual_ns
        self.period_ns += period_gain * residual_ns
        self._period_variance -= period_gain * self._both_variance
        self._both_variance *= weight
        self.phase_variance *= weight
