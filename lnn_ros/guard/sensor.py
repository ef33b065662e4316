"""A sensor of distances: where it sits, and which directions it covers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lnn_ros.geometry import Mounting
from lnn_ros.guard.parameters import SensorParameters

Three = tuple[float, float, float]
_NS = 1e-9
_SLACK = 1e-9


class Sensor:
    """Where a sensor sits, and what it covers."""

    def __init__(self, parameters: SensorParameters) -> None:
        self.parameters = p = parameters
        self._rotation = Mounting(p.roll, p.pitch, p.yaw).rotation
        self._place = np.array([[p.x], [p.y], [p.z]])
        self._aside, self._above = p.width / 2 + _SLACK, p.height / 2 + _SLACK
        self.close()

    def close(self) -> None:
        """Cover nothing until it looks again."""
        self._looked_ns: int | None = None
        self._point(None)

    def look(self, at_ns: int, level: NDArray[np.float64] | None = None) -> None:
        """Cover what is in view at an instant, unless it has looked since.

        Parameters
        ----------
        at_ns : int
            When it measured.
        level : ndarray (3, 3), optional
            From the body's axes then to those of its levelled frame; level, if left out.
        """
        if self._looked_ns is None or at_ns >= self._looked_ns:
            self._looked_ns = at_ns
            self._point(level)

    def _point(self, level: NDArray[np.float64] | None) -> None:
        rotation = self._rotation if level is None else level @ self._rotation
        self._columns: list[Three] = [tuple(c) for c in rotation.T.tolist()]
        self._upright = level is None and self.parameters.roll == 0.0 == self.parameters.pitch

    def covers(self, direction: Three, planar: bool) -> bool:
        """Return whether a direction, a unit vector in the levelled body frame, is looked at."""
        ux, uy, uz = direction
        (a, b, c), (d, e, f), (g, h, i) = self._columns
        x, y, z = a * ux + b * uy + c * uz, d * ux + e * uy + f * uz, g * ux + h * uy + i * uz
        flat = math.sqrt(x * x + y * y)
        if abs(math.atan2(y, x)) > self._aside and flat > _SLACK:
            return False
        return planar or abs(math.atan2(z, flat)) <= self._above

    def covers_azimuth(self, azimuth: float, level: float, rise: float, planar: bool) -> bool:
        """Return what ``covers`` says of a direction by its azimuth, way along the ground and rise.

        A sensor that is upright need not take it apart: that is three times as fast.
        """
        if self._upright:
            aside = math.remainder(azimuth - self.parameters.yaw, math.tau)
            if abs(aside) > self._aside and level > _SLACK:
                return False
            return planar or abs(math.atan2(rise, level)) <= self._above
        return self.covers((level * math.cos(azimuth), level * math.sin(azimuth), rise), planar)

    def in_body(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return which points (n, 3) of its frame may be obstacles, in the body frame (3, n)."""
        p = self.parameters
        found = np.ascontiguousarray(points.T)
        found = only(found, np.abs(found).max(axis=0) <= p.far)  # before anything is squared
        x, y, z = found
        distance = np.sqrt(x * x + y * y + z * z)
        found = only(found, (distance >= p.near) & (distance <= p.far))
        return self._rotation @ found + self._place

    def all_round(self, planar: bool) -> bool:
        """Return whether it covers every direction."""
        return self._aside >= math.pi and (planar or self._above >= math.pi / 2)

    def fresh(self, at_ns: int) -> bool:
        """Return whether the newest measurement still covers anything."""
        if self._looked_ns is None:
            return False
        return abs(at_ns - self._looked_ns) * _NS <= self.parameters.max_age


def only(points: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return those of some points (3, n) that are to be kept, which usually are all."""
    return points if kept.all() else points[:, kept]
