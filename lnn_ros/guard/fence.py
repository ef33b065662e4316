"""A box that is not left: brake before its border, and come back from outside."""

from __future__ import annotations

import math
from collections import Counter

from lnn_ros.guard.parameters import FenceParameters
from lnn_ros.guard.stopping import Stopping

Three = tuple[float, float, float]
_FAR = 1e7  # m; what odometry says farther away is nonsense


class Fence:
    """Lower velocities towards the border.

    Parameters
    ----------
    parameters : FenceParameters

    Attributes
    ----------
    counts : Counter of str
        "guard.odometry_dropped": not finite, or stamped ahead of time.
    """

    def __init__(self, parameters: FenceParameters) -> None:
        self.parameters = parameters
        self.counts: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget where it is."""
        self._where: Three | None = None
        self._cos, self._sin, self._at = 1.0, 0.0, 0.0

    def locate(self, position: Three, yaw: float, at: float, now: float | None = None) -> bool:
        """Take where the vehicle is; false, and counted, when that cannot be.

        Parameters
        ----------
        position : tuple of 3 float
            x, y, z in the frame of the odometry, m.
        yaw : float
            Of the body in that frame, rad.
        at : float
            When it was measured, s, by the clock of ``limit``.
        now : float, optional
            The time now; odometry that is further ahead than ``max_age`` is dropped.
        """
        ahead = now is not None and at - now > self.parameters.max_age
        if ahead or not all(abs(v) <= _FAR for v in position) or not math.isfinite(yaw):
            self.counts["guard.odometry_dropped"] += 1
            return False
        if at >= self._at or self._where is None:
            self._where, self._at = position, at
            self._cos, self._sin = math.cos(yaw), math.sin(yaw)
        return True

    def age(self, now: float) -> float | None:
        """Seconds since the newest odometry was measured; None before the first."""
        return None if self._where is None else max(now - self._at, 0.0)

    def trouble(self, now: float) -> str:
        """Say why the fence does not hold, if it does not."""
        if not self.parameters.enabled:
            return ""
        age = self.age(now)
        if age is None:
            return "the fence has no odometry"
        if age > self.parameters.max_age:
            return f"the fence's odometry is older than {self.parameters.max_age:g} s"
        return ""

    def limit(self, velocity: Three, now: float, stopping: Stopping) -> Three:
        """Return the velocity with what leads across the border taken away.

        Every axis of the fence for itself, so that a drone at its greatest altitude flies on where
        it may not climb. Outside, nothing leads further out. Without odometry nothing is lowered:
        ``trouble`` says so.

        Parameters
        ----------
        velocity : tuple of 3 float
            Levelled body frame, m/s.
        now : float
            s.
        stopping : Stopping
            Of the vehicle.
        """
        if not self.parameters.enabled:
            return velocity
        if self._where is None or self.trouble(now):
            return velocity
        p, age, (x, y, z) = self.parameters, max(now - self._at, 0.0), self._where
        vx, vy, vz = velocity
        east, north = self._cos * vx - self._sin * vy, self._sin * vx + self._cos * vy
        e = _between(east, x, p.x_low, p.x_high, age, stopping)
        n = _between(north, y, p.y_low, p.y_high, age, stopping)
        u = _between(vz, z, p.z_low, p.z_high, age, stopping)
        if e == east and n == north and u == vz:
            return velocity
        return self._cos * e + self._sin * n, self._cos * n - self._sin * e, u


def _between(v: float, at: float, low: float, high: float, age: float, stopping: Stopping) -> float:
    if v > 0.0:
        return min(v, stopping.ceiling(high - at, age))
    return max(v, -stopping.ceiling(at - low, age))
