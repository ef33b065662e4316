"""What shifts do to what stands around, to where the target is, and to what a flight is given."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.simulation.scenes import forest
from lnn_ros.simulation.task import FollowGoal, ForestScene, Task
from lnn_ros.simulation.world import Material, Role, Shape, Vector, World

_AUTUMN: Vector = (0.78, 0.40, 0.08)
_SNOW: Vector = (0.95, 0.96, 0.98)
_LEAST_PIXELS = 3.0
"""Of the target, at the greatest distance that a shift puts it."""
_BEHIND = 30.0
"""Degrees to either side by which a target behind the vehicle is drawn."""


def fog(world: World, strength: float) -> World:
    """Let half of a surface's colour be gone in at most 1 / strength metres."""
    return replace(world, light=replace(world.light, fog=min(world.light.fog, 1.0 / strength)))


def _painted(material: Material, paint: Vector, share: float) -> Material:
    def mixed(color: Vector) -> Vector:
        r, g, b = (c + share * (p - c) for c, p in zip(color, paint, strict=True))
        return r, g, b

    return replace(material, color=mixed(material.color), accent=mixed(material.accent))


def autumn(world: World, strength: float) -> World:
    """Leaves and ground are brown and orange; a road keeps its colours."""
    solids = tuple(replace(s, material=_painted(s.material, _AUTUMN, strength))
                   if s.role is Role.TREE and s.shape is Shape.ELLIPSOID else s
                   for s in world.solids)
    return replace(world, solids=solids, ground=_painted(world.ground, _AUTUMN, strength))


def winter(world: World, strength: float) -> World:
    """Snow lies on the ground, and half as much on trees, pillars, walls and a road."""
    lain = {Role.TREE, Role.PILLAR, Role.WALL}
    solids = tuple(replace(s, material=_painted(s.material, _SNOW, strength / 2))
                   if s.role in lain else s for s in world.solids)
    road = world.road and replace(
        world.road, surface=_painted(world.road.surface, _SNOW, strength / 2),
        lines=_painted(world.road.lines, _SNOW, strength / 2))
    return replace(world, solids=solids, ground=_painted(world.ground, _SNOW, strength), road=road)


def _forest(task: Task, shift: str) -> ForestScene:
    if not isinstance(task.scene, ForestScene):
        raise LnnError(f"shift {shift} found for task {task.name}, expected a task whose scene is "
                       f"a forest")
    return task.scene


def farther(task: Task, strength: float) -> Task:
    """Put the target farther away, in a forest that is as much longer."""
    scene, camera = _forest(task, "range"), task.camera
    focal = camera.width / 2 / math.tan(math.radians(camera.field_of_view) / 2)
    target = scene.target
    seen = focal * math.sqrt(target.width * target.height / _LEAST_PIXELS)
    near, far = (min(strength * d, max(d, seen)) for d in target.distance)
    count = strength * scene.obstacles.count[0], strength * scene.obstacles.count[1]
    return replace(task, scene=replace(
        scene, target=replace(target, distance=(near, far)),
        obstacles=replace(scene.obstacles, count=count)))


def longer(task: Task, strength: float) -> Task:
    """Give as much more time."""
    more, goal = max(1.0, strength), task.success
    if isinstance(goal, FollowGoal):  # and to get near at first
        goal = replace(goal, grace=more * goal.grace)
    return replace(task, success=replace(goal, time_limit=more * goal.time_limit))


def clutter(world: World, task: Task, strength: float) -> World:
    """Put more obstacles up."""
    scene = _forest(task, "clutter")
    most = sum(scene.obstacles.count) / 2
    return forest.crowded(world, scene, round((strength - 1.0) * most), 0)


def distractors(world: World, task: Task, strength: float) -> World:
    """Put more distractors up."""
    return forest.crowded(world, _forest(task, "distractors"), 0, round(strength))


def stones(world: World, task: Task, strength: float) -> World:
    """Put other obstacles up in place of the usual ones."""
    _forest(task, "stones")
    return forest.stones(world, strength)


def behind(world: World, task: Task, strength: float) -> World:
    """Turn the vehicle at the start, so that the target is where no frame shows it."""
    _forest(task, "behind")
    rng = np.random.default_rng((world.seed, 0xBE4))
    x, y = (a - b for a, b in zip(world.target.position[:2], world.start[:2], strict=True))
    off = math.radians(strength + rng.uniform(-_BEHIND, _BEHIND))
    yaw = math.atan2(y, x) + (off if rng.random() < 0.5 else -off)
    return replace(world, start_yaw=math.remainder(yaw, 2.0 * math.pi))
