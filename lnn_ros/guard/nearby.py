"""The points about a place, laid out so that plain Python finds the nearest few in a direction.

An operation of numpy takes one or two microseconds however little there is to do, and a command
has time for a handful of them. So this is made when a sensor measures, and what a command asks of
it then is a look at some ten points.

The circle about the place is cut into sectors. Of each the nearest points are listed that a motion
into that sector can touch at all, in the order of their distance: no ball is nearer than its middle
less its radius, so the first point that is further than the way found so far ends the search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

ACROSS = 0.3
"""Cosine between a motion and the direction to a point, below which it is no approach."""

_SECTORS = 16
_MOST = 12  # points of a sector that are listed
_TURN = math.tau
_PER = _SECTORS / _TURN
_HALF = math.pi / _SECTORS
_MIDDLES = (np.arange(_SECTORS) + 0.5) / _PER
_AXES = np.stack([np.cos(_MIDDLES), np.sin(_MIDDLES)], axis=1)
_ENDS = np.arange(1, _SECTORS)
_SLACK = 1e-9
_END = [math.inf] * 5


class Nearby:
    """Points about a place.

    Parameters
    ----------
    points : ndarray (5, n)
        x, y, z, their squared distance from the origin, and when they were measured.
    place : tuple of 3 float
        The place.
    radius : float
        All points that are not further from the place are among them, m.
    room : float
        As far as this the vehicle may be from the place for ``way`` to tell, m.
    reach : float
        Radius of the balls in whose middle points stand, m.

    Attributes
    ----------
    free : float
        So far one can go from the place in any direction, m: all balls, and what is not among the
        points, are further.
    asked : bool
        Whether ``way`` has been asked.
    """

    def __init__(
        self,
        points: NDArray[np.float64],
        place: tuple[float, float, float],
        radius: float,
        room: float,
        reach: float,
    ) -> None:
        self._points, self.place, self._reach = points, place, reach
        self.radius, self.room = radius, room
        self.asked = False
        # Of each, and of the first again: x, y and z from the place, distance, and when. Where all
        # points of a sector are listed, the last row is infinitely far away.
        self._sectors: list[list[list[float]]] | None = None
        x, y, z = place
        self._squares = np.array((-2.0 * x, -2.0 * y, -2.0 * z, 1.0)) @ points[:4]
        self._squares += x * x + y * y + z * z
        self.free = radius - reach
        if self._squares.size:
            nearest = math.sqrt(max(float(self._squares.min()), 0.0)) - _SLACK
            self.free = min(self.free, nearest - reach)

    def lay_out(self) -> list[list[list[float]]]:
        """Make the sectors."""
        (near,) = (self._squares <= self.radius * self.radius).nonzero()
        if not near.size:
            self._sectors = [[_END]] * (_SECTORS + 1)
            return self._sectors
        near = near.take(self._squares.take(near).argsort(kind="stable"))
        rows = self._points.take(near, axis=1)
        rows[:3] -= np.array(self.place)[:, None]
        x, y, z, distance, _ = rows
        level = x * x
        level += y * y
        np.sqrt(level + z * z, out=distance)
        # From anywhere in the room a motion into a sector passes by a point that is this far from
        # all its directions, seen from above; what is above or below the room none passes by.
        swept = self._reach + self.room
        level -= swept * swept
        least = math.cos(_HALF) * np.sqrt(np.maximum(level, 0.0)) - math.sin(_HALF) * swept - _SLACK
        least[level <= 0.0] = -np.inf
        (inside,) = (_AXES @ rows[:2] >= least).ravel().nonzero()
        ends = [0, *inside.searchsorted(_ENDS * near.size).tolist(), inside.size]
        listed = [inside[a : min(b, a + _MOST)] for a, b in pairwise(ends)]
        every = iter(rows.take(np.concatenate(listed) % near.size, axis=1).T.tolist())
        self._sectors = []
        for part, (a, b) in zip(listed, pairwise(ends), strict=True):
            self._sectors.append([*islice(every, part.size)])
            if part.size == b - a:
                self._sectors[-1].append(_END)
        self._sectors.append(self._sectors[0])
        return self._sectors

    def way(
        self,
        at: tuple[float, float, float, float],
        level: float,
        rise: float,
        azimuths: Sequence[float],
        within: float,
        since: float,
    ) -> float | None:
        """Return how far one can go in the worst of some directions, m.

        Parameters
        ----------
        at : tuple of 4 float
            Where the vehicle is, seen from the place, and how far that is from it, m.
        level, rise : float
            Of each direction, a unit vector, the parts along and across the ground.
        azimuths : sequence of float
            Of the directions, rad.
        within : float
            What is not nearer than this need not be found, m.
        since : float
            What was measured before this does not count.

        Returns
        -------
        float or None
            At most ``within``; 0 inside a ball that a direction leads into. None: the points that
            are listed are too few to tell.
        """
        self.asked = True
        x, y, z, moved = at
        if moved > self.room or within + self._reach + moved > self.radius:
            return None
        sectors = self._sectors or self.lay_out()
        ball, slack = self._reach * self._reach, self._reach + moved
        end = within + slack
        for azimuth in azimuths:
            ux, uy = level * math.cos(azimuth), level * math.sin(azimuth)
            for px, py, pz, distance, when in sectors[int(azimuth % _TURN * _PER)]:
                if distance >= end:
                    break
                px -= x
                py -= y
                pz -= z
                ahead = px * ux + py * uy + pz * rise
                if ahead <= 0.0 or when < since:
                    continue
                square = px * px + py * py + pz * pz
                along = ahead * ahead
                root = along - square + ball
                if root > 0.0 and along > ACROSS * ACROSS * square:
                    way = ahead - math.sqrt(root)
                    if way < within:
                        within = way if way > 0.0 else 0.0
                        end = within + slack
            else:
                return None
        return within
