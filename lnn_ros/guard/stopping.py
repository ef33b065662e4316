"""How fast one may go towards something that is a distance away."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lnn_ros.guard.limits import Slew


@dataclass(frozen=True)
class Stopping:
    """Distance to a halt: v delay + v^2 / (2 deceleration).

    The delay is also the least time to contact: at no distance is v above distance / delay.

    Attributes
    ----------
    deceleration : float
        m/s^2.
    delay : float
        s.
    """

    deceleration: float
    delay: float

    @staticmethod
    def of(
        deceleration: float, reaction: float, normal: Slew, braking: Slew, period: float
    ) -> Stopping:
        """Return it for a vehicle behind a limiter.

        A command holds for a period before the next can answer. Until jerk has built up the
        deceleration b, it takes b / (2 jerk) longer than by v^2 / (2 b) (and less for slow motion,
        by the inequality of means); to take back an acceleration a first, a / jerk.
        """
        lag = max(
            (deceleration / 2.0 + max(rise, fall)) / jerk if math.isfinite(jerk) else 0.0
            for rise, fall, jerk in zip(
                _finite(normal.rise), _finite(normal.fall), braking.jerk[:3], strict=True
            )
        )
        return Stopping(deceleration, reaction + period + lag)

    def distance(self, speed: float) -> float:
        """Return the way to a halt, m."""
        return speed * (self.delay + speed / (2.0 * self.deceleration))

    def ceiling(self, distance: float, age: float = 0.0) -> float:
        """Return the greatest speed towards something, m/s.

        Parameters
        ----------
        distance : float
            To where it must have stopped, m.
        age : float
            How old the distance is, s.
        """
        if distance <= 0.0:
            return 0.0
        if distance == math.inf:
            return math.inf
        delay = self.delay + age
        root = math.sqrt(delay * delay + 2.0 * distance / self.deceleration)
        return 2.0 * distance / (delay + root)


def _finite(values: tuple[float, ...]) -> list[float]:
    # Where a velocity may jump there is no acceleration to be taken back.
    return [v if math.isfinite(v) else 0.0 for v in values[:3]]
