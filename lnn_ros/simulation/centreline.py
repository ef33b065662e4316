"""Where one is along a road: the geometry of a closed centreline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.world import Material, Road, Vector

Floats = NDArray[np.float64]

_SLAB = 0.5  # metres of road that one flat box stands for, about
_SURFACE_TOP, _LINE_TOP = 0.004, 0.008  # metres above the ground, so that one is not in the other


class Centreline:
    """A closed line of straight pieces.

    Parameters
    ----------
    points : array_like (n, 2)
        Metres, in the direction of travel; after the last one comes the first.

    Attributes
    ----------
    length : float
        Metres, all around.
    """

    def __init__(self, points: object) -> None:
        self._points = np.asarray(points, dtype=np.float64)
        self._pieces = np.roll(self._points, -1, axis=0) - self._points
        self._lengths = np.sqrt((self._pieces**2).sum(1))
        self._begins = np.concatenate([[0.0], np.cumsum(self._lengths)])
        self.length = float(self._begins[-1])

    def at(self, along: float) -> tuple[float, float]:
        """Point at a distance along the line from its first point, metres."""
        k, share = self._piece(along)
        x, y = (self._points[k] + share * self._pieces[k]).tolist()
        return x, y

    def heading(self, along: float) -> float:
        """Direction of travel at a distance along the line, rad."""
        x, y = self._pieces[self._piece(along)[0]].tolist()
        return math.atan2(y, x)

    def curvature(self, along: float, span: float = 0.6) -> float:
        """Mean curvature over a span about a distance along the line, 1/m, to the left positive."""
        turn = self.heading(along + span / 2) - self.heading(along - span / 2)
        return math.remainder(turn, 2.0 * math.pi) / span

    def find(self, x: float, y: float, near: float | None = None,
             within: float = 1.5) -> tuple[float, float]:
        """Distance along the line of the point of it that is nearest, and how far left of it.

        Parameters
        ----------
        x, y : float
            Metres.
        near : float, optional
            Look only within ``within`` metres of this distance along the line, to either side:
            who follows a road is not suddenly on another part of it.
        within : float
            See there.

        Returns
        -------
        along, offset : float
            Metres; the offset is positive to the left of the direction of travel.
        """
        to = np.array([x, y]) - self._points
        share = np.clip((to * self._pieces).sum(1) / self._lengths**2, 0.0, 1.0)
        away = ((to - share[:, None] * self._pieces) ** 2).sum(1)
        if near is not None:
            apart = self._begins[:-1] + share * self._lengths - near
            apart -= self.length * np.round(apart / self.length)
            away = np.where(np.abs(apart) <= within, away, np.inf)
        k = int(np.argmin(away))
        ux, uy = (self._pieces[k] / self._lengths[k]).tolist()
        left = ux * float(to[k, 1]) - uy * float(to[k, 0])
        distance = math.sqrt(float(away[k]))
        return float(self._begins[k] + share[k] * self._lengths[k]), math.copysign(distance, left)

    def distances(self, x: Floats, y: Floats) -> Floats:
        """Distance (len(y), len(x)) of every point of a grid to the line, metres."""
        out = np.empty((len(y), len(x)))
        squares = self._lengths**2
        for i, row in enumerate(y.tolist()):
            dx, dy = x[:, None] - self._points[:, 0], row - self._points[:, 1]
            share = np.clip((dx * self._pieces[:, 0] + dy * self._pieces[:, 1]) / squares, 0.0, 1.0)
            dx, dy = dx - share * self._pieces[:, 0], dy - share * self._pieces[:, 1]
            out[i] = np.sqrt((dx * dx + dy * dy).min(1))
        return out

    def _piece(self, along: float) -> tuple[int, float]:
        along %= self.length
        k = min(int(np.searchsorted(self._begins, along, side="right")) - 1, len(self._points) - 1)
        return k, (along - float(self._begins[k])) / float(self._lengths[k])


def slabs(road: Road) -> Iterator[tuple[str, Vector, Vector, float, Material]]:
    """Yield the road as flat boxes, for renderers that know no roads.

    Yields
    ------
    name : str
        Unique.
    centre, half : tuple of 3 float
        Metres, world frame, and half extents.
    yaw : float
        rad.
    material : Material
        Of the surface or of a line.
    """
    line = Centreline(road.points)
    count = math.ceil(line.length / _SLAB)
    ends = [k * line.length / count for k in range(count + 1)]
    inner = road.width / 2.0 - road.line_width / 2.0
    for name, offset, half, top, material in (
            ("surface", 0.0, road.width / 2.0, _SURFACE_TOP, road.surface),
            ("left", inner, road.line_width / 2.0, _LINE_TOP, road.lines),
            ("right", -inner, road.line_width / 2.0, _LINE_TOP, road.lines)):
        places = []
        for along in ends:
            (x, y), heading = line.at(along), line.heading(along)
            places.append((x - offset * math.sin(heading), y + offset * math.cos(heading)))
        ways = [math.atan2(by - ay, bx - ax) for (ax, ay), (bx, by) in pairwise(places)]
        for k, ((ax, ay), (bx, by)) in enumerate(pairwise(places)):
            # So much longer that no gap shows on the outside of a curve.
            turn = max(abs(math.remainder(ways[k] - ways[j % count], 2.0 * math.pi))
                       for j in (k - 1, k + 1))
            more = half * math.tan(turn / 2.0)
            long = 0.5 * math.hypot(bx - ax, by - ay) + more
            yield (f"road_{name}_{k}", ((ax + bx) / 2.0, (ay + by) / 2.0, top / 2.0),
                   (long, half, top / 2.0), ways[k], material)
