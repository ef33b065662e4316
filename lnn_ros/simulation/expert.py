"""A privileged pilot that teaches: it knows the world and where the vehicle really is.

It follows the gradient of an arrival-time field: the viscosity solution of the eikonal equation
``|grad T| = s(x)`` from the target outwards, with a slowness ``s`` that grows near obstacles
(fast sweeping: Zhao, Mathematics of Computation 74, 2005). The field exists everywhere, so that
the expert recovers from any disturbed state. It looks where it flies, as a pilot with a camera
must.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import RoverVehicle, Task
from lnn_ros.simulation.world import Shape, World

_CELL = 0.1  # metres
_MARGIN = 4.0  # metres of field around the populated area
_FLOWN, _DRIVEN = (0.5, 2.1), (0.0, 0.4)
"""Band of heights outside of which a solid is no obstacle, for a drone and for a rover, metres."""
_BACKING = 0.3  # metres: a rover that is nearer to an obstacle may back away from it
_NEAR = 3  # cells; the width of a way that is kept, to either side
_PREFERENCE = 0.8  # of the time that the way takes


@dataclass(frozen=True)
class Manner:
    """How the expert flies.

    Attributes
    ----------
    cruise : float
        Speed in the open, m/s.
    slow : float
        Speed next to an obstacle, m/s.
    shy : float
        Distance from the vehicle's surface to an obstacle from which on it prefers more, metres.
    stand_off : float
        Distance from the column's surface at which it hovers, metres.
    height : float
        Height at which it flies, metres; a rover has none to choose.
    """

    cruise: float = 1.4
    slow: float = 0.7
    shy: float = 0.9
    stand_off: float = 0.6
    height: float = 1.3


DRIVING = Manner(cruise=0.8, slow=0.3, shy=1.0)
"""How it drives a rover."""


@numba.njit(cache=True)
def _clearance(solids: NDArray[np.float64], origin: tuple[float, float],
               out: NDArray[np.float64]) -> None:
    """Fill `out` with the horizontal distance from each cell to the nearest footprint.

    `solids` rows: x, y, cos, sin, half x, half y, is_box.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            px, py = origin[0] + i * _CELL, origin[1] + j * _CELL
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
                    step = slowness[i, j] * _CELL
                    if abs(x - y) >= step:
                        value = min(x, y) + step
                    else:
                        value = 0.5 * (x + y + math.sqrt(2.0 * step * step - (x - y) ** 2))
                    if value < field[i, j]:
                        change = max(change, field[i, j] - value)
                        field[i, j] = value
        if change < 1e-3:
            return


class Expert:
    """The teacher in one world.

    Parameters
    ----------
    world : World
        The world, all of which it knows.
    manner : Manner, optional
        How it flies.
    task : Task, optional
        The task that the world was made for; read by its name by default.
    keep : sequence of tuple
        Places x, y (m) of a way that it prefers if another is hardly better.
    """

    def __init__(self, world: World, manner: Manner | None = None, task: Task | None = None,
                 keep: Sequence[tuple[float, float]] = ()) -> None:
        task = task or Task.load(world.task)
        self._drives = isinstance(task.vehicle, RoverVehicle)
        self._manner = manner or (DRIVING if self._drives else Manner())
        low, high = _DRIVEN if self._drives else _FLOWN
        self._target = np.array(world.target.position[:2])
        self._hover = world.target.size[0] + self._manner.stand_off
        self._limits = task.vehicle
        low_x, high_x, low_y, high_y = world.bounds
        self._origin = (low_x - _MARGIN, low_y - _MARGIN)
        shape = (math.ceil((high_x - low_x + 2 * _MARGIN) / _CELL) + 1,
                 math.ceil((high_y - low_y + 2 * _MARGIN) / _CELL) + 1)
        rows = [(s.position[0], s.position[1], math.cos(s.yaw), math.sin(s.yaw), s.size[0],
                 s.size[1], float(s.shape == Shape.BOX)) for s in world.solids
                if s is not world.target and s.position[2] - s.size[2] < high
                and s.position[2] + s.size[2] > low]
        self._free = np.full(shape, 1e3)
        if rows:
            _clearance(np.array(rows), self._origin, self._free)
        self._free -= task.vehicle.radius
        x = self._origin[0] + _CELL * np.arange(shape[0])[:, None] - self._target[0]
        y = self._origin[1] + _CELL * np.arange(shape[1])[None, :] - self._target[1]
        away = np.hypot(x, y)
        speed = self._speed(self._free)
        preferred = np.ones(shape)
        slowness = 1.0 / speed + 6.0 * np.maximum(0.0, 0.5 - self._free / self._manner.shy) ** 2
        for px, py in keep:
            i, j = (int((p - o) / _CELL) for p, o in zip((px, py), self._origin, strict=True))
            around = (slice(max(i - _NEAR, 0), i + _NEAR + 1),
                      slice(max(j - _NEAR, 0), j + _NEAR + 1))
            preferred[around] = _PREFERENCE
        slowness *= preferred
        slowness[self._free < 0.1] += 20.0
        self._field = np.where(away <= self._hover, 0.0, 1e9)
        _sweep(self._field, slowness)
        self._field[away <= self._hover] = (away - self._hover)[away <= self._hover]

    def _speed(self, free: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Speed for a free distance (m/s): from `slow` at contact to `cruise` at `shy`."""
        manner = self._manner
        share = np.clip(np.asarray(free) / manner.shy, 0.0, 1.0)
        return manner.slow + (manner.cruise - manner.slow) * share

    def _sample(self, grid: NDArray[np.float64], x: float, y: float) -> float:
        """Read a grid bilinearly; outside, at its border."""
        i = min(max((x - self._origin[0]) / _CELL, 0.0), grid.shape[0] - 1.001)
        j = min(max((y - self._origin[1]) / _CELL, 0.0), grid.shape[1] - 1.001)
        a, b = int(i), int(j)
        u, v = i - a, j - b
        return float((1 - u) * ((1 - v) * grid[a, b] + v * grid[a, b + 1])
                     + u * ((1 - v) * grid[a + 1, b] + v * grid[a + 1, b + 1]))

    def _downhill(self, grid: NDArray[np.float64], x: float, y: float,
                  reach: float) -> NDArray[np.float64]:
        """Unit vector (2,) in which a grid falls, from differences over `reach` metres."""
        slope = np.array([
            self._sample(grid, x - reach, y) - self._sample(grid, x + reach, y),
            self._sample(grid, x, y - reach) - self._sample(grid, x, y + reach)])
        length = math.hypot(*slope)
        return slope / length if length > 1e-9 else slope

    def _look_ahead(self, x: float, y: float, distance: float) -> tuple[float, float]:
        """Follow the field downhill for a distance and return where that leads."""
        for _ in range(math.ceil(distance / 0.2)):
            if self._sample(self._field, x, y) <= 0.0:
                break
            dx, dy = self._downhill(self._field, x, y, _CELL)
            x, y = x + 0.2 * dx, y + 0.2 * dy
        return x, y

    def way(self, truth: Truth, length: float) -> list[tuple[float, float]]:
        """Return places x, y (m), 0.2 m apart, along which it means to go, for a length in m."""
        places = [(float(truth.position[0]), float(truth.position[1]))]
        while len(places) <= length / 0.2:
            at = self._look_ahead(*places[-1], 0.2)
            if at == places[-1]:
                break
            places.append(at)
        return places

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now.

        Parameters
        ----------
        truth : Truth
            Where the vehicle really is.

        Returns
        -------
        ndarray (4,)
            Velocity in the levelled body frame (m/s) and yaw rate (rad/s).
        """
        manner = self._manner
        x, y, z = (float(v) for v in truth.position)
        to_target = self._target - (x, y)
        away = math.hypot(*to_target)
        left = away - self._hover

        ahead = self._look_ahead(x, y, 0.5)
        course = np.array(ahead) - (x, y)
        length = math.hypot(*course)
        course = course / length if length > 1e-6 else to_target / max(away, 1e-6)
        free = self._sample(self._free, x, y)
        speed = float(min(self._speed(free), self._speed(self._sample(self._free, *ahead))))

        view = np.array(self._look_ahead(x, y, 1.6)) - (x, y)
        if left < 2.0 or math.hypot(*view) < 0.3:
            view = to_target
        turn = math.remainder(math.atan2(view[1], view[0]) - truth.yaw, 2.0 * math.pi)
        drift = math.remainder(math.atan2(course[1], course[0]) - truth.yaw, 2.0 * math.pi)
        # Fly slowly where the camera does not look.
        speed *= max(0.15, 0.5 + 0.5 * math.cos(min(1.5 * abs(drift), math.pi)))
        velocity = course * speed
        if left < 1.6:  # brake: constant deceleration, then proportional, also backwards
            reach = min(0.9 * left, math.sqrt(max(0.9 * left, 0.0)), speed)
            velocity = (course if left > 0.3 else to_target / max(away, 1e-6)) * reach
        if free < 0.3:  # get away from what is too near
            velocity = velocity + 1.2 * (0.3 - free) * -self._downhill(self._free, x, y, _CELL)
        cos, sin = math.cos(truth.yaw), math.sin(truth.yaw)
        if self._drives:
            return self._driven(cos * velocity[0] + sin * velocity[1],
                                cos * velocity[1] - sin * velocity[0], turn, free)
        return np.array([
            cos * velocity[0] + sin * velocity[1],
            cos * velocity[1] - sin * velocity[0],
            min(max(0.9 * (manner.height - z), -0.5), 0.5),
            min(max(1.8 * turn, -1.2), 1.2)])

    def _driven(self, forward: float, left: float, turn: float,
                free: float) -> NDArray[np.float64]:
        """Command of a vehicle that cannot move sideways, for a velocity that it wants, m/s.

        It turns to where it wants to go, and is slow until it looks there; what is behind it, it
        backs to where it is near an obstacle or at the target, and else turns to. ``turn`` is how
        far off (rad) it looks, ``free`` how far the nearest obstacle is (m).
        """
        wanted = math.hypot(forward, left)
        off = math.atan2(left, forward)
        most = self._limits.max_yaw_rate
        if wanted < 0.1 or (abs(off) > 0.5 * math.pi and free < _BACKING):
            speed = forward if free < _BACKING or wanted < 0.1 else 0.0
            return np.array([speed, 0.0, 0.0, min(max(1.8 * turn, -most), most)])
        speed = wanted * max(math.cos(off), 0.0) ** 2
        return np.array([speed, 0.0, 0.0, min(max(2.2 * off, -most), most)])
