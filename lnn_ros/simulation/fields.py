"""Rasters over a world: how far the nearest obstacle is, and how long the way is from anywhere.

The latter is an arrival-time field: the viscosity solution of the eikonal equation
``|grad T| = s(x)`` outwards from where it begins, with a slowness ``s`` (fast sweeping: Zhao,
Mathematics of Computation 74, 2005). It falls towards where it begins, along the fastest way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.world import Shape, Solid

CELL = 0.1
"""Metres from one point of a raster to the next."""


@dataclass(frozen=True)
class Raster:
    """Values on a square raster.

    Attributes
    ----------
    origin : tuple of 2 float
        x and y of the first value, metres.
    values : ndarray (nx, ny)
        One for each point.
    """

    origin: tuple[float, float]
    values: NDArray[np.float64]

    def sample(self, x: float, y: float) -> float:
        """Read bilinearly; outside, at the border."""
        grid = self.values
        i = min(max((x - self.origin[0]) / CELL, 0.0), grid.shape[0] - 1.001)
        j = min(max((y - self.origin[1]) / CELL, 0.0), grid.shape[1] - 1.001)
        a, b = int(i), int(j)
        u, v = i - a, j - b
        return float((1 - u) * ((1 - v) * grid[a, b] + v * grid[a, b + 1])
                     + u * ((1 - v) * grid[a + 1, b] + v * grid[a + 1, b + 1]))

    def downhill(self, x: float, y: float, reach: float = CELL) -> NDArray[np.float64]:
        """Unit vector (2,) in which the values fall, from differences over `reach` metres."""
        slope = np.array([
            self.sample(x - reach, y) - self.sample(x + reach, y),
            self.sample(x, y - reach) - self.sample(x, y + reach)])
        length = math.hypot(*slope)
        return slope / length if length > 1e-9 else slope

    def descend(self, x: float, y: float, distance: float) -> tuple[float, float]:
        """Go downhill for a distance, or to where it is zero, and return where that leads."""
        for _ in range(math.ceil(distance / 0.2)):
            if self.sample(x, y) <= 0.0:
                break
            dx, dy = self.downhill(x, y)
            x, y = x + 0.2 * dx, y + 0.2 * dy
        return x, y

    def away(self, x: float, y: float) -> NDArray[np.float64]:
        """Distance (nx, ny) of every point of the raster from a place, metres."""
        nx, ny = self.values.shape
        return np.hypot(self.origin[0] + CELL * np.arange(nx)[:, None] - x,
                        self.origin[1] + CELL * np.arange(ny)[None, :] - y)


def free_distance(solids: Iterable[Solid], bounds: tuple[float, float, float, float],
                  margin: float, heights: tuple[float, float]) -> Raster:
    """Horizontal distance to the nearest footprint; 1 km where there is none.

    Parameters
    ----------
    solids : iterable of Solid
        Obstacles, as far as they reach into `heights`.
    bounds : tuple of 4 float
        x_min, x_max, y_min, y_max, metres.
    margin : float
        Of the raster around the bounds, metres.
    heights : tuple of 2 float
        A solid outside this band, metres, is no obstacle.
    """
    low_x, high_x, low_y, high_y = bounds
    origin = (low_x - margin, low_y - margin)
    shape = (math.ceil((high_x - low_x + 2 * margin) / CELL) + 1,
             math.ceil((high_y - low_y + 2 * margin) / CELL) + 1)
    rows = [(s.position[0], s.position[1], math.cos(s.yaw), math.sin(s.yaw), s.size[0],
             s.size[1], float(s.shape == Shape.BOX)) for s in solids
            if s.position[2] - s.size[2] < heights[1] and s.position[2] + s.size[2] > heights[0]]
    free = np.full(shape, 1e3)
    if rows:
        _clearance(np.array(rows), origin, free)
    return Raster(origin, free)


def arrival_time(origin: tuple[float, float], begin: NDArray[np.float64],
                 slowness: NDArray[np.float64]) -> Raster:
    """Time of the fastest way to where it begins.

    Parameters
    ----------
    origin : tuple of 2 float
        Of the raster.
    begin : ndarray (nx, ny)
        Time where ways may end, s; 1e9 elsewhere. The field is written into it.
    slowness : ndarray (nx, ny)
        s/m.
    """
    _sweep(begin, slowness)
    return Raster(origin, begin)


@numba.njit(cache=True)
def _clearance(solids: NDArray[np.float64], origin: tuple[float, float],
               out: NDArray[np.float64]) -> None:
    """Fill `out` with the horizontal distance from each cell to the nearest footprint.

    `solids` rows: x, y, cos, sin, half x, half y, is_box.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            px, py = origin[0] + i * CELL, origin[1] + j * CELL
            best = 1e9
            for k in range(solids.shape[0]):
                dx, dy = px - solids[k, 0], py - solids[k, 1]
                if solids[k, 6] == 0.0:
                    distance = math.sqrt(dx * dx + dy * dy) - solids[k, 4]
                else:
                    x = abs(solids[k, 2] * dx + solids[k, 3] * dy) - solids[k, 4]
                    y = abs(solids[k, 2] * dy - solids[k, 3] * dx) - solids[k, 5]
                    distance = (math.sqrt(max(x, 0.0) ** 2 + max(y, 0.0) ** 2)
                                + min(max(x, y), 0.0))
                best = min(best, distance)
            out[i, j] = best


@numba.njit(cache=True)
def _sweep(field: NDArray[np.float64], slowness: NDArray[np.float64]) -> None:
    """Relax the upwind scheme in four orders until no cell changes by more than 1 ms of flight."""
    nx, ny = field.shape
    for _ in range(40):
        change = 0.0
        for order in range(4):
            for a in range(nx):
                i = a if order % 2 == 0 else nx - 1 - a
                for b in range(ny):
                    j = b if order < 2 else ny - 1 - b
                    x = min(field[i - 1, j] if i > 0 else 1e9,
                            field[i + 1, j] if i < nx - 1 else 1e9)
                    y = min(field[i, j - 1] if j > 0 else 1e9,
                            field[i, j + 1] if j < ny - 1 else 1e9)
                    step = slowness[i, j] * CELL
                    if abs(x - y) >= step:
                        value = min(x, y) + step
                    else:
                        value = 0.5 * (x + y + math.sqrt(2.0 * step * step - (x - y) ** 2))
                    if value < field[i, j]:
                        change = max(change, field[i, j] - value)
                        field[i, j] = value
        if change < 1e-3:
            return
