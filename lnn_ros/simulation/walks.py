"""Where a target that walks is at an instant: a pure function of the time since the start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

SETTLES_S = 1.0
"""In which a guess of how a target goes on forgets itself."""


class Way(Protocol):
    """Where a target is at any instant, or is believed to be."""

    def at(self, at_s: float) -> tuple[float, float]:
        """Place at an instant, s from the start."""

    def velocity(self, at_s: float) -> tuple[float, float]:
        """Velocity at an instant, m/s."""


@dataclass(frozen=True)
class Guess:
    """Where a target is believed to be by who last saw it at an instant.

    It goes on as it was seen to go, ever more slowly: sooner or later it will stop or turn.

    Attributes
    ----------
    seen_s : float
        When it was last seen, s from the start.
    place, going : tuple of 2 float
        Where it was then, metres, and its velocity, m/s.
    """

    seen_s: float
    place: tuple[float, float]
    going: tuple[float, float]

    def at(self, at_s: float) -> tuple[float, float]:
        """Place at an instant, s from the start; before it was seen, where it was seen."""
        on = SETTLES_S * -math.expm1(-max(at_s - self.seen_s, 0.0) / SETTLES_S)
        (x, y), (vx, vy) = self.place, self.going
        return x + on * vx, y + on * vy

    def velocity(self, at_s: float) -> tuple[float, float]:
        """Velocity at an instant, m/s."""
        left = math.exp(-max(at_s - self.seen_s, 0.0) / SETTLES_S)
        vx, vy = self.going
        return left * vx, left * vy


@dataclass(frozen=True)
class Walk:
    """A way that is walked to its end, then back, and so on: its period is twice its time.

    Attributes
    ----------
    step_s : float
        Time from one place to the next, s.
    places : tuple of tuple of 2 float
        x and y, metres, world frame; a smooth curve (Catmull-Rom) leads through them. The same
        place several times is a stop.
    """

    step_s: float
    places: tuple[tuple[float, float], ...]

    @property
    def time_s(self) -> float:
        """Time from the first place to the last."""
        return self.step_s * (len(self.places) - 1)

    def at(self, at_s: float) -> tuple[float, float]:
        """Place at an instant, s from the start; before it, the first one."""
        u, knots, _ = self._leg(at_s)
        x, y = ((b + 0.5 * u * (c - a + u * (2.0 * a - 5.0 * b + 4.0 * c - d
                                             + u * (3.0 * (b - c) + d - a))))
                for a, b, c, d in knots)
        return x, y

    def velocity(self, at_s: float) -> tuple[float, float]:
        """Velocity at an instant, m/s."""
        u, knots, sign = self._leg(at_s)
        x, y = (0.5 * sign / self.step_s
                * (c - a + u * (2.0 * (2.0 * a - 5.0 * b + 4.0 * c - d)
                                + 3.0 * u * (3.0 * (b - c) + d - a)))
                for a, b, c, d in knots)
        return x, y

    def _leg(self, at_s: float) -> tuple[float, tuple[tuple[float, ...], ...], float]:
        """Share of the step that has passed, four places about it per axis, and the direction."""
        last = len(self.places) - 1
        if last == 0:
            return 0.0, tuple((p,) * 4 for p in self.places[0]), 1.0
        steps, sign = max(at_s, 0.0) / self.step_s % (2 * last), 1.0
        if steps > last:
            steps, sign = 2 * last - steps, -1.0
        k = min(int(steps), last - 1)
        about = (self.places[min(max(k + i, 0), last)] for i in (-1, 0, 1, 2))
        return steps - k, tuple(zip(*about, strict=True)), sign
