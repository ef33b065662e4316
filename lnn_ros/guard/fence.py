"""A box that is not left: brake before its border, and come back from outside."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

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

    def set(self, parameters: FenceParameters) -> None:
        """Change the box."""
        self.parameters = parameters
        if self._where is not None:
            self._free = min(self._sides(self._where))

    def reset(self) -> None:
        """Forget where it is."""
        self._where: Three | None = None
        self._yaw, self._at, self._free = 0.0, 0.0, math.inf

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
        # One that was stamped ahead of time must not keep out those that come after it.
        if at >= self._at or self._where is None or (now is not None and self._at > now):
            self._where, self._at, self._yaw = position, at, yaw
            self._free = min(self._sides(position))
        return True

    def age(self, now: float) -> float | None:
        """Seconds since the newest odometry was measured; None before the first."""
        return None if self._where is None else max(now - self._at, 0.0)

    def trouble(self, now: float) -> str:
        """Say why the fence does not hold, if it does not."""
        if self._where is None:
            return "the fence has no odometry" if self.parameters.enabled else ""
        if now - self._at <= self.parameters.max_age or not self.parameters.enabled:
            return ""
        return f"the fence's odometry is older than {self.parameters.max_age:g} s"

    def clear(self, speed: float, now: float, stopping: Stopping) -> bool:
        """Return whether nothing slower than a speed need be lowered, wherever it leads."""
        if not self.parameters.enabled or self._where is None:
            return True
        age = now - self._at
        return stopping.distance(speed) + (speed * age if age > 0.0 else 0.0) < self._free

    def limit(
        self, velocity: Three, now: float, stopping: Stopping, angles: Sequence[float] = (0.0,)
    ) -> Three:
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
        angles : sequence of float
            How far the body, and the velocity with it, may have turned when it counts, rad.
        """
        if not self.parameters.enabled or self._where is None or self.trouble(now):
            return velocity
        vx, vy, vz = velocity
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        west, east, south, north, down, up = self._ceilings(speed, now, stopping)
        vz = -down if vz < -down else up if vz > up else vz
        least = min(west, east, south, north)
        if vx * vx + vy * vy < least * least:
            return vx, vy, vz
        for angle in angles:
            c, s = math.cos(self._yaw + angle), math.sin(self._yaw + angle)
            x, y = c * vx - s * vy, s * vx + c * vy
            if -west <= x <= east and -south <= y <= north:
                continue
            x, y = min(max(x, -west), east), min(max(y, -south), north)
            vx, vy = c * x + s * y, c * y - s * x
        return vx, vy, vz

    def _ceilings(self, speed: float, now: float, stopping: Stopping) -> list[float]:
        """Return the greatest speeds towards each side of the box: x, y, z, low before high.

        Towards a side before which one can stop from a speed, that may be infinite.
        """
        assert self._where is not None
        age = max(now - self._at, 0.0)
        way = stopping.distance(speed) + speed * age
        free = self._sides(self._where)
        return [math.inf if far > way else stopping.ceiling(far, age) for far in free]

    def _sides(self, where: Three) -> Sequence[float]:
        """Return how far each side of the box is, as ``_ceilings``; less than 0 outside."""
        p, (x, y, z) = self.parameters, where
        return x - p.x_low, p.x_high - x, y - p.y_low, p.y_high - y, z - p.z_low, p.z_high - z
