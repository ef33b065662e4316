"""How near a flight has come to any solid."""

from __future__ import annotations

import math
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.world import Shape, Vector, World, distance_to

_CYLINDER, _ELLIPSOID = float(Shape.CYLINDER), float(Shape.ELLIPSOID)
_ROUNDING = 1e-9  # metres; far more than `distance_to` and the kernel can differ by


@numba.njit(cache=True, error_model="numpy")
def _candidates(solids: NDArray[np.float64], px: float, py: float, pz: float, sphere: float,
                surface: float, out: NDArray[np.int64]) -> int:
    """Note in `out` the solids that are nearer than this; return how many.

    `solids` rows: centre (3), radius of the bounding sphere, cosine and sine of the yaw, half
    extents (3), shape. Nearer are those whose bounding sphere is nearer than `sphere` and whose
    distance, as of `distance_to` but for the last bits, is less than `surface`.
    """
    found = 0
    for k in range(len(solids)):
        dx, dy, z = px - solids[k, 0], py - solids[k, 1], pz - solids[k, 2]
        if math.sqrt(dx * dx + dy * dy + z * z) - solids[k, 3] >= sphere:
            continue
        cos, sin = solids[k, 4], solids[k, 5]
        x, y = cos * dx + sin * dy, cos * dy - sin * dx
        a, b, c, shape = solids[k, 6], solids[k, 7], solids[k, 8], solids[k, 9]
        if shape == _ELLIPSOID:
            k0 = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
            k1 = math.sqrt((x / a**2) ** 2 + (y / b**2) ** 2 + (z / c**2) ** 2)
            distance = k0 * (k0 - 1.0) / k1 if k1 > 0.0 else -min(a, b, c)
        else:
            ex, ey, ez = abs(x) - a, abs(y) - b, abs(z) - c
            if shape == _CYLINDER:
                ex, ey = math.sqrt(x * x + y * y) - a, -math.inf
            outside = max(ex, 0.0) ** 2 + max(ey, 0.0) ** 2 + max(ez, 0.0) ** 2
            distance = math.sqrt(outside) + min(max(ex, ey, ez), 0.0)
        if distance < surface:
            out[found] = k
            found += 1
    return found


class Clearance:
    """The least distance so far from a vehicle's surface to any solid.

    Parameters
    ----------
    world : World
        Where it flies.
    radius : float
        Of the vehicle, taken as a sphere, metres.

    Attributes
    ----------
    least : float
        Metres; infinite before the first measurement.
    """

    def __init__(self, world: World, radius: float) -> None:
        self._world, self._solids, self._radius = world, list(world.solids), radius
        self._table = np.array([
            (*s.position, math.hypot(*s.size), math.cos(s.yaw), math.sin(s.yaw), *s.size, s.shape)
            for s in world.solids], np.float64).reshape(-1, 10)
        self._found = np.empty(len(world.solids), np.int64)
        self.least = math.inf

    def reset(self) -> None:
        """Forget all measurements."""
        self.least = math.inf

    def note(self, distance: float) -> None:
        """Take what was measured otherwise, metres."""
        self.least = min(self.least, distance)

    def measure(self, position: Vector, at_s: float = 0.0) -> None:
        """Look whether any solid is nearer now, s from the start, than ever before."""
        if self._world.walk is not None:  # the last one walks
            place = self._world.target_at(at_s)
            self._table[-1, :3] = place
            self._solids[-1] = replace(self._world.target, position=place)
        # Few are, so that the compiled kernel sorts out the others.
        record = self.least + self._radius
        count = _candidates(self._table, *position, record, record + _ROUNDING, self._found)
        for index in self._found[:count]:
            distance = distance_to(self._solids[index], position) - self._radius
            self.least = min(self.least, distance)
