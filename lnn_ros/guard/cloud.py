"""Points in memory, and how far one can go among them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnn_ros.guard.nearby import ACROSS, Nearby
from lnn_ros.guard.reckoning import Reckoning

Array = NDArray[np.float64]
_NS = 1e-9
_ROOM = 0.5  # m, that the vehicle may move before all points are asked again which are about it
_NONE = np.empty((5, 0))
_STEPS = 1.5  # commands, ahead of which points are laid out


class Cloud:
    """Points by measurement, for a short time.

    Parameters
    ----------
    reach : float
        Radius of the balls in whose middle they stand, m.
    memory : float
        How long they count, s.
    way : Reckoning
        Where the vehicle is in their frame.

    Attributes
    ----------
    free : float
        So far one can go in any direction, m, and perhaps further.
    """

    def __init__(self, reach: float, memory: float, way: Reckoning) -> None:
        self._reach, self._memory, self._reckoning = reach, memory, way
        # The oldest come first, each with its stamp.
        self._seen: deque[tuple[int, Array]] = deque()
        # Of these only what is within a radius about a place, the rest being too far to count:
        # seen from there, in rows x, y, z, squared distance, and when: s, after the first of all.
        self._about: deque[Array] = deque()
        self._place, self._radius, self._points = (0.0, 0.0, 0.0), 0.0, _NONE
        self._zero_ns, self._since = 0, 0.0
        self._asked = 0.0  # the longest way that was asked for
        self._nearby = Nearby(_NONE, self._place, 0.0, 0.0, reach)
        self._look_about()

    def add(self, stamp_ns: int, points: Array) -> None:
        """Take a measurement (3, n)."""
        seen = self._seen
        self._zero_ns = self._zero_ns or stamp_ns
        seen.append((stamp_ns, points))
        self._about.append(self._within(stamp_ns, points))
        # Samples may come out of order; the oldest is forgotten first.
        if len(seen) > 1 and seen[-2][0] > stamp_ns:
            self._seen = deque(sorted(seen, key=lambda entry: entry[0]))
            self._about = deque(self._within(*entry) for entry in self._seen)
        self._points = np.concatenate(self._about, axis=1)
        self._since = self._when(self._seen[0][0])
        self._look_about()

    def move(self, at_ns: int) -> None:
        """Be where the reckoning is, and forget what is too old."""
        seen = self._seen
        while seen and (at_ns - seen[0][0]) * _NS > self._memory:
            seen.popleft()
            self._points = self._points[:, self._about.popleft().shape[1] :]
            self._since = self._when(seen[0][0]) if seen else math.inf
        self._stand()

    def way(self, level: float, rise: float, azimuths: Sequence[float], within: float) -> float:
        """Return how far one can go in the worst of some directions: ``Nearby.way``."""
        if within <= self.free:
            return within
        if within > self._asked:
            self._asked = within
        way = self._nearby.way(self._at, level, rise, azimuths, within, self._since)
        return self._way(level, rise, azimuths, within) if way is None else way

    @property
    def nearest(self) -> float:
        """Distance to the nearest of all points, m; infinite where there is none."""
        if not self._seen:
            return math.inf
        away = np.concatenate([points for _, points in self._seen], axis=1)
        away -= np.array(self._reckoning.here[1:4])[:, None]
        squares = (away * away).sum(axis=0)
        return math.sqrt(squares.min()) if squares.size else math.inf

    def _way(self, level: float, rise: float, azimuths: Sequence[float], within: float) -> float:
        """Do the same with all points that are so near."""
        here, reach = self._reckoning.here[1:4], self._reach
        far = within + reach
        if math.dist(here, self._place) + far > self._radius:
            self._gather(here, far + _ROOM)
        away = self._points[:3] - np.subtract(here, self._place)[:, None]
        x, y, z = away
        squares = x * x
        squares += y * y
        squares += z * z
        (near,) = (squares < far * far).nonzero()
        if not near.size:
            return within
        away, squares = away.take(near, axis=1), squares.take(near)
        directions = [(level * math.cos(a), level * math.sin(a), rise) for a in azimuths]
        ahead = np.array(directions) @ away
        root = ahead * ahead
        root += reach * reach - squares
        met = ahead > ACROSS * np.sqrt(squares)
        met &= root > 0.0
        (found,) = met.ravel().nonzero()
        if not found.size:
            return within
        way = (ahead.take(found) - np.sqrt(root.take(found))).min()
        return min(within, max(0.0, float(way)))

    def _when(self, stamp_ns: int) -> float:
        return (stamp_ns - self._zero_ns) * _NS

    def _within(self, stamp_ns: int, points: Array) -> Array:
        """Return the rows of those of some points that are within the radius about the place."""
        rows = np.empty((5, points.shape[1]))
        np.subtract(points, np.array(self._place)[:, None], out=rows[:3])
        x, y, z, squares, when = rows
        np.multiply(x, x, out=squares)
        squares += y * y
        squares += z * z
        when[:] = self._when(stamp_ns)
        return rows.take((squares <= self._radius * self._radius).nonzero()[0], axis=1)

    def _gather(self, place: tuple[float, float, float], radius: float) -> None:
        """Ask all points which of them are about a place."""
        self._place, self._radius = place, radius
        self._about = deque(self._within(*entry) for entry in self._seen)
        self._points = np.concatenate(self._about, axis=1) if self._about else _NONE

    def _look_about(self) -> None:
        """Make ready for commands near the place where the vehicle will be at the next ones."""
        here, centre = self._reckoning.here[1:4], self._reckoning.ahead(_STEPS)
        room = 0.05 + 2.0 * math.dist(here, centre)
        radius = self._reach + self._asked + room
        if math.dist(centre, self._place) + radius > self._radius:
            self._gather(here, radius + _ROOM)
        x, y, z = (a - b for a, b in zip(centre, self._place, strict=True))
        asked = self._nearby.asked
        self._nearby = Nearby(self._points, (x, y, z), radius, room, self._reach)
        if asked:  # as it was, so it will be: that need not cost a command's time
            self._nearby.lay_out()
        self._centre = centre
        self._stand()

    def _stand(self) -> None:
        near, (a, b, c) = self._nearby, self._centre
        _, x, y, z, _ = self._reckoning.here
        x, y, z = x - a, y - b, z - c
        moved = math.sqrt(x * x + y * y + z * z)
        self._at = x, y, z, moved
        self.free = near.free - moved
