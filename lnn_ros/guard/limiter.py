"""The last hand on a command: velocity, acceleration and jerk of every axis stay inside limits.

Each axis is a velocity v and an acceleration a, the velocity's last change over its dt. A step
chooses the next a, and then v grows by a dt. Releasing, which is to lower abs(a) by jerk dt at
every step, changes v by at most a^2 / (2 jerk) in all, however long the steps are: the steps are a
lower sum of the integral. So v + a abs(a) / (2 jerk) is where v can always be stopped from moving,
and a step that keeps this *resting velocity* on the near side of the target never overshoots,
whatever the next dt is. The largest such a towards a target that is e away obeys

    a dt + a^2 / (2 jerk) = e,      a = 2 e / (dt + sqrt(dt^2 + 2 e / jerk))

which is e / dt without a jerk limit: no cancellation, no special case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lnn_ros.guard.limits import UNLIMITED, Four, Limits, Slew

EXACT = 1e-9
"""Nearer than this to the target is there, m/s: the steps before come ever nearer, and no wheel or
rotor knows the difference."""

PERIODS = 2.0
"""A longer pause between commands buys no more change than this many periods."""


class Bounds(NamedTuple):
    """What is in force on one axis.

    Attributes
    ----------
    low, high : float
        Velocity.
    rise, fall : float
        Acceleration towards plus and minus, both > 0.
    jerk : float
        Change of acceleration.
    """

    low: float
    high: float
    rise: float
    fall: float
    jerk: float

    @property
    def free(self) -> bool:
        """Whether the velocity may jump."""
        return math.isinf(self.rise) and math.isinf(self.fall) and math.isinf(self.jerk)

    def admits(self, v: float, a: float) -> bool:
        """Return whether motion under these bounds can go on from here.

        The acceleration is inside, and its release keeps the velocity inside or, where it is
        outside, takes it no further away.
        """
        if not -self.fall <= a <= self.rise:
            return False
        rest = v + a * abs(a) / (2.0 * self.jerk)
        return min(self.low, v) - EXACT <= rest <= max(self.high, v) + EXACT


def towards(v: float, a: float, target: float, dt: float, bounds: Bounds) -> tuple[float, float]:
    """Return velocity and acceleration after one step towards a target inside the bounds."""
    # Four times a command: compared by hand, which is twice as fast as min and max.
    low, high, rise, fall, jerk = bounds
    if rise == fall == jerk == math.inf:
        return target, 0.0
    if dt <= 0.0:
        return v, a
    gap = target - v
    size = -gap if gap < 0.0 else gap
    reach = jerk * dt
    wanted = 2.0 * size / (dt + math.sqrt(dt * dt + 2.0 * size / jerk))
    if gap < 0.0:
        wanted = -wanted
    least, most = a - reach, a + reach
    if least < -fall:
        least = -fall
    if most > rise:
        most = rise
    a = least if wanted < least else wanted
    if a > most:
        a = most
    # In exact arithmetic it stays inside by itself.
    new = v + a * dt
    if new < low and new < v:
        new = low if low < v else v
    elif new > high and new > v:
        new = high if high > v else v
    if abs(new - target) <= EXACT and a * a <= 2.0 * EXACT * jerk:
        return target, a if math.isinf(jerk) else 0.0
    return new, a


def _released(v: float, a: float, dt: float, bounds: Bounds) -> tuple[float, float]:
    """Return velocity and acceleration after one step towards no acceleration."""
    a = math.copysign(max(abs(a) - bounds.jerk * dt, 0.0), a) if dt > 0.0 else a
    return min(max(v + a * dt, min(bounds.low, v)), max(bounds.high, v)), a


class Limiter:
    """Move a command towards its target, every axis for itself.

    New limits count from the next step on, but on an axis that still accelerates more than they
    allow the old ones stay in force, while it is released as fast as they let it. So nothing ever
    jumps, and every step obeys the bounds that are ``in_force``, to the last bit of what they say:
    the velocity is inside, or was outside when they came into force and comes back; abs(change) is
    at most acceleration times dt; the change of acceleration is at most jerk times dt. dt is the
    measured one, capped at two periods. ``EXACT`` is the tolerance of all this, as a velocity.

    Parameters
    ----------
    limits : Limits
        Ceilings.
    normal, braking : Slew
        For flying on, and for coming to a halt.
    period : float
        Usual time between commands, s.
    """

    def __init__(
        self,
        limits: Limits,
        normal: Slew = UNLIMITED,
        braking: Slew = UNLIMITED,
        period: float = 1.0 / 30.0,
    ) -> None:
        self.set(limits, normal, braking, period)
        self.in_force = list(self._normal)
        self.stop()

    def set(self, limits: Limits, normal: Slew, braking: Slew, period: float) -> None:
        """Change all limits at once."""
        self._cap = PERIODS * period
        self._normal = _bounds(limits, normal)
        self._braking = _bounds(limits, braking)

    @property
    def velocity(self) -> Four:
        """What was commanded last."""
        return tuple(self._v)  # type: ignore[return-value]

    @property
    def acceleration(self) -> Four:
        """Its last change over dt; 0 on an axis without limits."""
        return tuple(self._a)  # type: ignore[return-value]

    def stop(self) -> None:
        """Be at rest, at once: for fault, disengage and shutdown only."""
        self._v = [0.0] * 4
        self._a = [0.0] * 4

    def carry(self, velocity: Four, acceleration: Four) -> None:
        """Go on from another limiter's motion, with this one's normal limits in force."""
        self._v, self._a = list(velocity), list(acceleration)
        self.in_force = list(self._normal)

    def step(self, target: Sequence[float], dt: float, braking: Sequence[bool]) -> list[float]:
        """Move towards a target.

        Parameters
        ----------
        target : sequence of 4 float
            Finite; taken into the ceilings.
        dt : float
            Seconds since the last step, >= 0.
        braking : sequence of 4 bool
            Whether an axis is to come to its target by the braking set.

        Returns
        -------
        list of 4 float
            The velocity to command.
        """
        dt = min(dt, self._cap)
        velocity, acceleration, in_force = self._v, self._a, self.in_force
        for i, goal in enumerate(target):
            v, a, old = velocity[i], acceleration[i], in_force[i]
            new = self._braking[i] if braking[i] else self._normal[i]
            if new is not old and new != old and not new.admits(v, a):
                velocity[i], acceleration[i] = _released(v, a, dt, old)
                continue
            in_force[i] = new
            if goal < new.low:
                goal = new.low
            elif goal > new.high:
                goal = new.high
            if goal != v or a:  # else it is there, and at rest
                velocity[i], acceleration[i] = towards(v, a, goal, dt, new)
        return list(velocity)


def _bounds(limits: Limits, slew: Slew) -> list[Bounds]:
    return [
        Bounds(*row)
        for row in zip(limits.low, limits.high, slew.rise, slew.fall, slew.jerk, strict=True)
    ]
