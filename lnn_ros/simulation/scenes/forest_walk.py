"""Let the target of a forest walk: a smooth way through it, drawn from the world's seed.

It goes from one goal to the next by the fastest way that keeps it clear of everything, at a speed
that is drawn anew after each stop. Trees and pillars come between it and who follows.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.fields import Raster, arrival_time, free_distance
from lnn_ros.simulation.scenes.drawing import Drawing
from lnn_ros.simulation.task import ForestWalkScene, WalkTask
from lnn_ros.simulation.walks import Walk
from lnn_ros.simulation.world import World

Floats = NDArray[np.float64]

_STREAM = 0x0F0E5A
_STEP_S = 0.1  # between two places of a walk
_POINT = 0.05  # metres between two points of a way
_ROUND = 0.35  # metres: how wide corners are rounded
_EASE_S = 1.0  # in which a speed changes
_SWERVE_S = 0.3  # standard deviation of the times whose places are averaged
_ATTEMPTS = 60  # goals tried for one leg before the walk ends there
_TURN = math.radians(110.0)  # to the next goal, at most, if there is one
_AT_START = 1.0  # metres around the vehicle's start that stay free
_DETOUR = 4.0  # times as long as straight, at most
_BLOCKED = 1e4  # s/m


def add(world: World, scene: ForestWalkScene) -> World:
    """Return the forest whose target walks; it is the last of the solids."""
    task, target = scene.walk, world.target
    build = Drawing(world.seed, _STREAM)
    others = tuple(s for s in world.solids if s is not target)
    room = free_distance(others, world.bounds, 0.0, (0.0, 2.0 * target.size[2]))
    room.values[:] = np.minimum(room.values, room.away(*world.start[:2]) - _AT_START)
    room.values[:] -= target.size[0] + task.room
    along = _progress(build, task)
    way = _way(build, task, room, world, float(along[-1]))
    length = _POINT * (len(way) - 1)
    at = np.minimum(along, length) / _POINT
    places = np.stack([np.interp(at, np.arange(len(way)), column) for column in way.T], 1)
    places = _smooth(places, _SWERVE_S / _STEP_S)
    # Rounded, as the last bits of what leads here differ between CPUs.
    walk = Walk(_STEP_S, tuple((round(x, 4), round(y, 4)) for x, y in places.tolist()))
    target = replace(target, position=(*walk.places[0], target.position[2]))
    return replace(world, target=target, solids=(*others, target), walk=walk)


def _progress(build: Drawing, task: WalkTask) -> Floats:
    """Metres that have been walked, every `_STEP_S`: it starts and ends standing."""
    count = round(task.time / _STEP_S) + 1
    speed = np.zeros(count)
    at = first = round(build.draw(task.standing) / _STEP_S)
    while at < count:
        going = round(build.draw(task.going) / _STEP_S)
        speed[at:at + going] = build.draw(task.speed)
        at += going + round(build.draw(task.standing) / _STEP_S)
    speed[count - first:] = 0.0
    ease = np.hanning(round(_EASE_S / _STEP_S) + 2)
    speed = np.convolve(speed, ease / ease.sum(), mode="same")
    speed[[0, -1]] = 0.0
    return np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * _STEP_S)])


def _way(build: Drawing, task: WalkTask, room: Raster, world: World, length: float) -> Floats:
    """Points (n, 2) of a way at least so long, if there are goals enough; `_POINT` m apart."""
    x, y = world.target.position[:2]
    heading = math.atan2(y - world.start[1], x - world.start[0])  # at first away from who follows
    points = [(x, y)]
    slowness = 1.0 + 4.0 * np.maximum(0.0, 1.0 - np.maximum(room.values, 0.0) / 0.5) ** 2
    slowness[room.values < 0.0] = _BLOCKED
    while _POINT * len(points) < length + 1.0:
        leg = _leg(build, task, room, slowness, points[-1], heading)
        if not leg:
            break
        points += leg
        back = points[max(len(points) - 20, 0)]
        heading = math.atan2(points[-1][1] - back[1], points[-1][0] - back[0])
    way = np.array(points)
    for width in (_ROUND, _ROUND / 2.0, _ROUND / 4.0):
        smooth = _rounded(way, width)
        if min(room.sample(*p) for p in smooth.tolist()) > -0.5 * task.room:
            return smooth
    return _rounded(way, 0.0)


def _leg(build: Drawing, task: WalkTask, room: Raster, slowness: Floats,
         start: tuple[float, float], heading: float) -> list[tuple[float, float]]:
    """Points from a start to a goal; none if no goal is found."""
    (x, y), (nx, ny) = room.origin, room.values.shape
    for attempt in range(_ATTEMPTS):
        most = _TURN if attempt < _ATTEMPTS // 2 else math.pi
        away, turn = build.draw(task.leg), heading + build.draw((-most, most))
        goal = start[0] + away * math.cos(turn), start[1] + away * math.sin(turn)
        inside = x + 1.0 < goal[0] < x + 0.1 * nx - 1.0 and y + 1.0 < goal[1] < y + 0.1 * ny - 1.0
        if not inside or room.sample(*goal) < 0.2:
            continue
        there = room.away(*goal)
        field = arrival_time(room.origin, np.where(there < 0.15, 0.0, 1e9), slowness)
        if field.sample(*start) > _DETOUR * away:  # perhaps only through something
            continue
        points: list[tuple[float, float]] = []
        at = start
        while field.sample(*at) > 0.2 and len(points) * _POINT < _DETOUR * away:
            dx, dy = field.downhill(*at)
            at = at[0] + _POINT * float(dx), at[1] + _POINT * float(dy)
            points.append(at)
        if field.sample(*at) <= 0.2:  # else stuck where there is hardly room
            return points
    return []


def _rounded(way: Floats, width: float) -> Floats:
    """Return a way with rounded corners, its points again evenly apart."""
    if width > 0.0:
        way = _smooth(way, width / _POINT)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(way, axis=0).T))])
    at = np.arange(0.0, along[-1] + 1e-9, _POINT)
    return np.stack([np.interp(at, along, column) for column in way.T], 1)


def _smooth(points: Floats, width: float) -> Floats:
    """Average points (n, 2) with their neighbours, Gaussian weights, beyond the ends the ends."""
    reach = math.ceil(3.0 * width)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    held = np.concatenate([np.repeat(points[:1], reach, 0), points,
                           np.repeat(points[-1:], reach, 0)])
    return np.stack([np.convolve(c, weights / weights.sum(), mode="valid") for c in held.T], 1)
