"""A privileged pilot that teaches: it knows the world and where the vehicle really is.

It follows the gradient of an arrival-time field (``fields``) from the target outwards, with a
slowness that grows near obstacles. The field exists everywhere, so that the expert recovers from
any disturbed state. It looks where it flies, as a pilot with a camera must.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.fields import CELL, arrival_time, free_distance
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import RoverVehicle, Task
from lnn_ros.simulation.wishes import command, levelled
from lnn_ros.simulation.world import World

_NEAR = 3  # cells; the width of a way that is kept, to either side
_PREFERENCE = 0.8  # of the time that the way takes
_TURN = 1.2  # rad/s, the fastest that it turns a drone
MARGIN = 4.0
"""Metres of field around the populated area."""
HEIGHTS, DRIVEN = (0.85, 2.1), (0.0, 0.4)
"""A solid outside this band of heights, metres, is no obstacle, for a drone and for a rover. The
drone flies at 1.3 m, over what ends 0.2 m below it: who goes round 150 such things finds no way."""
_APPROACH = 2.0
"""1/s: speed at the target for a distance from where it hovers. By half of it, gusts and a drift of
the estimated velocity carry it into the column."""
_BACKING = 0.3  # metres: a rover that is nearer to an obstacle may back away from it


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


def speed_at(free: NDArray[np.float64] | float, manner: Manner) -> NDArray[np.float64]:
    """Speed for a free distance (m/s): from `slow` at contact to `cruise` at `shy`."""
    share = np.clip(np.asarray(free) / manner.shy, 0.0, 1.0)
    return manner.slow + (manner.cruise - manner.slow) * share


def slowness(free: NDArray[np.float64], manner: Manner,
             preferred: NDArray[np.float64] | float = 1.0) -> NDArray[np.float64]:
    """Seconds per metre for free distances, and more where it would rather not be.

    `preferred` is multiplied with what is not too near to an obstacle.
    """
    cost = 1.0 / speed_at(free, manner) + 6.0 * np.maximum(0.0, 0.5 - free / manner.shy) ** 2
    cost *= preferred
    cost[free < 0.1] += 20.0
    return cost


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
        self._target = np.array(world.target.position[:2])
        self._hover = world.target.size[0] + self._manner.stand_off
        self._limits = task.vehicle
        solids = (solid for solid in world.solids if solid is not world.target)
        self._free = free_distance(solids, world.bounds, MARGIN,
                                   DRIVEN if self._drives else HEIGHTS)
        free = self._free.values
        free -= task.vehicle.radius
        away = self._free.away(*self._target)
        there = away <= self._hover
        preferred = np.ones(free.shape)
        for place in keep:
            i, j = (int((p - o) / CELL) for p, o in zip(place, self._free.origin, strict=True))
            around = (slice(max(i - _NEAR, 0), i + _NEAR + 1),
                      slice(max(j - _NEAR, 0), j + _NEAR + 1))
            preferred[around] = _PREFERENCE
        self._field = arrival_time(self._free.origin, np.where(there, 0.0, 1e9),
                                   slowness(free, self._manner, preferred))
        self._field.values[there] = (away - self._hover)[there]

    def way(self, truth: Truth, length: float) -> list[tuple[float, float]]:
        """Return places x, y (m), 0.2 m apart, along which it means to go, for a length in m."""
        places = [(float(truth.position[0]), float(truth.position[1]))]
        while len(places) <= length / 0.2:
            at = self._field.descend(*places[-1], 0.2)
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

        ahead = self._field.descend(x, y, 0.5)
        course = np.array(ahead) - (x, y)
        length = math.hypot(*course)
        course = course / length if length > 1e-6 else to_target / max(away, 1e-6)
        free = self._free.sample(x, y)
        speed = float(min(speed_at(free, manner), speed_at(self._free.sample(*ahead), manner)))

        view = np.array(self._field.descend(x, y, 1.6)) - (x, y)
        if left < 2.0 or math.hypot(*view) < 0.3:
            view = to_target
        turn = math.remainder(math.atan2(view[1], view[0]) - truth.yaw, 2.0 * math.pi)
        drift = math.remainder(math.atan2(course[1], course[0]) - truth.yaw, 2.0 * math.pi)
        # Fly slowly where the camera does not look.
        speed *= max(0.15, 0.5 + 0.5 * math.cos(min(1.5 * abs(drift), math.pi)))
        velocity = course * speed
        if left < 1.6:  # brake: constant deceleration, then proportional, also backwards
            reach = min(_APPROACH * left, math.sqrt(max(0.9 * left, 0.0)), speed)
            velocity = (course if left > 0.3 else to_target / max(away, 1e-6)) * reach
        if free < 0.3:  # get away from what is too near
            velocity = velocity + 1.2 * (0.3 - free) * -self._free.downhill(x, y)
        forward, aside = levelled(velocity, truth.yaw)
        if self._drives:
            return self._driven(forward, aside, turn, free)
        return command(forward, aside, 0.9 * (manner.height - z), 1.8 * turn, _TURN)

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
            return command(speed, 0.0, 0.0, 1.8 * turn, most)
        speed = wanted * max(math.cos(off), 0.0) ** 2
        return command(speed, 0.0, 0.0, 2.2 * off, most)
