"""A privileged pilot that follows a target that walks: it knows the world and the whole walk.

(Who does not know the walk says where the target is believed to be: ``expect``.)

A few times a second it works out where around the target it would rather be: at its distance,
behind or beside, with the target in sight. From there an arrival-time field (``fields``) spreads
over the surroundings; it goes down the field, and with the target. It looks at the target.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.expert import HEIGHTS, MARGIN, Manner, slowness, speed_at
from lnn_ros.simulation.fields import CELL, Raster, arrival_time, free_distance
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.walks import Walk, Way
from lnn_ros.simulation.wishes import command, levelled
from lnn_ros.simulation.world import World

DISTANCE = 2.0
"""Metres from the target's surface at which it likes to be."""
_FIELD_S = 0.25  # between two fields
_AHEAD_S = 0.4  # a field is made for where the target will be
_KEEP = 0.2  # metres from its surface to an obstacle below which it backs away
_BRAKE_S = 0.3  # it looks where it will be after this time, too
_REACH = 6.0  # metres of field around target and vehicle
_NEAREST, _FARTHEST = 1.0, 3.2  # metres from the target's surface where it would be at all
_SIGHTS = np.linspace(0.15, 0.95, 12)  # shares of the line of sight that are looked at


class Follower:
    """The teacher of following in one world.

    Parameters
    ----------
    world : World
        The world, all of which it knows.
    manner : Manner, optional
        How it flies; its `stand_off` does not count.
    task : Task, optional
        The task that the world was made for; read by its name by default.
    """

    def __init__(self, world: World, manner: Manner | None = None,
                 task: Task | None = None) -> None:
        task = task or Task.load(world.task)
        self._manner = manner or Manner()
        self._walk: Way = world.walk or Walk(1.0, (world.target.position[:2],))
        self._radius = world.target.size[0]
        self._limits = task.vehicle
        solids = [solid for solid in world.solids if solid is not world.target]
        self._sight = free_distance(solids, world.bounds, MARGIN, HEIGHTS)
        self._free = Raster(self._sight.origin, self._sight.values - task.vehicle.radius)
        self._field = self._free
        self._field_ns = -1

    def expect(self, way: Way) -> None:
        """Say where the target is believed to be, from now on."""
        self._walk = way

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
        now_s = (truth.stamp_ns - START_NS) * 1e-9
        x, y, z = (float(v) for v in truth.position)
        if not 0 <= truth.stamp_ns - self._field_ns < _FIELD_S * 1e9:
            self._field, self._field_ns = self._make_field(now_s, x, y), truth.stamp_ns
        target, going = np.array(self._walk.at(now_s)), np.array(self._walk.velocity(now_s))
        to_target = target - (x, y)
        away = math.hypot(*to_target)
        free = self._free.sample(x, y)

        left = self._field.sample(x, y)  # seconds, about
        ahead = self._field.descend(x, y, 0.4)
        course = np.array(ahead) - (x, y)
        course = course / max(math.hypot(*course), 0.2)
        speed = float(min(speed_at(free, manner),
                          speed_at(self._free.sample(*ahead), manner)))
        seen = self._in_sight(x, y, *target)
        velocity = course * (min(speed, 0.9 * left) if seen else speed)
        if seen and away < self._radius + _FARTHEST + 1.0:
            velocity = velocity + going
        too_near = 0.8 - (away - self._radius)
        if too_near > 0.0:  # it comes towards the vehicle
            velocity = velocity - 1.5 * too_near * to_target / max(away, 1e-6)
        fast = math.hypot(*velocity)
        if fast > manner.cruise + 0.2:
            velocity = velocity * (manner.cruise + 0.2) / fast
        for ahead_s in (_BRAKE_S, 0.0):
            px, py = x + ahead_s * truth.velocity[0], y + ahead_s * truth.velocity[1]
            gap, wall = self._free.sample(px, py), -self._free.downhill(px, py)
            least = -1.2 * (gap - _KEEP)  # slower towards it the nearer it is, at last away from it
            if gap < 1.0 and velocity @ wall < least:
                velocity = velocity + (least - velocity @ wall) * wall

        view, swing = to_target, 0.0
        if away > self._radius + 4.0 and not seen:
            view = np.array(self._field.descend(x, y, 1.6)) - (x, y)
        else:  # turn with the target, too
            moving = going - truth.velocity[:2]
            swing = float(to_target[0] * moving[1] - to_target[1] * moving[0]) / max(away, 0.5)**2
        turn = math.remainder(math.atan2(view[1], view[0]) - truth.yaw, 2.0 * math.pi)
        return command(*levelled(velocity, truth.yaw), 0.9 * (manner.height - z),
                       1.8 * turn + 0.7 * swing, self._limits.max_yaw_rate)

    def _in_sight(self, x: float, y: float, to_x: float, to_y: float) -> bool:
        """Whether nothing is in the line of sight between two places."""
        return all(self._sight.sample(x + s * (to_x - x), y + s * (to_y - y)) > 0.0
                   for s in _SIGHTS)

    def _make_field(self, now_s: float, x: float, y: float) -> Raster:
        """Field around target and vehicle to where it would like to be a little later."""
        target = self._walk.at(now_s + _AHEAD_S)
        going = self._walk.velocity(now_s + _AHEAD_S)
        origin = self._free.origin
        last = [n - 1 for n in self._free.values.shape]
        low, high = [], []
        for k, (a, b) in enumerate(zip((x, y), target, strict=True)):
            low.append(int(min(max((min(a, b) - _REACH - origin[k]) / CELL, 0), last[k] - 1)))
            high.append(int(min(max((max(a, b) + _REACH - origin[k]) / CELL, 1), last[k])))
        part = (slice(low[0], high[0] + 1), slice(low[1], high[1] + 1))
        free = np.ascontiguousarray(self._free.values[part])
        window = Raster((origin[0] + low[0] * CELL, origin[1] + low[1] * CELL), free)
        away = window.away(*target) - self._radius
        wish = np.abs(away - DISTANCE)
        fast = math.hypot(*going)
        if fast > 0.1:  # not in front of it, where it goes
            nx, ny = free.shape
            dx = window.origin[0] + CELL * np.arange(nx)[:, None] - target[0]
            dy = window.origin[1] + CELL * np.arange(ny)[None, :] - target[1]
            front = (dx * going[0] + dy * going[1]) / (fast * np.maximum(np.hypot(dx, dy), 0.1))
            wish = wish + 1.5 * min(1.0, fast / 0.5) * np.maximum(0.0, front + 0.3)
        wish = wish + 2.0 * np.maximum(0.0, 0.6 - free)
        for s in _SIGHTS:  # hidden from there by what is between
            i = (window.origin[0] + CELL * np.arange(free.shape[0]) - target[0]) * s + target[0]
            j = (window.origin[1] + CELL * np.arange(free.shape[1]) - target[1]) * s + target[1]
            hidden = self._sight.values[np.ix_(_index(i, origin[0], last[0]),
                                               _index(j, origin[1], last[1]))] < 0.1
            wish = np.where(hidden, 1e9, wish)
        wish[(away < _NEAREST) | (away > _FARTHEST) | (free < 0.1)] = 1e9
        if wish.min() >= 1e9:  # nowhere: at least near it
            wish = np.where(away < DISTANCE, 0.0, 1e9)
        begin = wish - wish.min() * (wish < 1e9)
        cost = slowness(free, self._manner)
        cost += 4.0 * np.maximum(0.0, 1.0 - free / 0.35) ** 2  # rather not through a narrow gap
        cost[away < 0.7] += 20.0  # not through the target
        return arrival_time(window.origin, begin, cost)


def _index(at: NDArray[np.float64], origin: float, last: int) -> NDArray[np.intp]:
    """Nearest index of coordinates along one axis of a raster."""
    return np.clip(np.rint((at - origin) / CELL), 0, last).astype(np.intp)
