"""Make the :class:`~lnn_ros.simulation.world.World` of a seed and a task."""

from __future__ import annotations

from collections.abc import Sequence

from lnn_ros.simulation.scenes import corridor, forest, forest_walk, road
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.task import CorridorScene, ForestWalkScene, RoadScene, Task
from lnn_ros.simulation.world import World


def make_world(seed: int, task: Task, shifts: Sequence[Shift] = ()) -> World:
    """Make the world of a seed.

    Parameters
    ----------
    seed : int
        Non-negative; see :mod:`lnn_ros.simulation.seeds` for who may use which.
    task : Task
        What makes it hard.
    shifts : sequence of Shift
        Those that change what is there, and how the vehicle starts; others are ignored.

    Returns
    -------
    World
        Start at the origin; equal for equal arguments.

    Raises
    ------
    LnnError
        When a shift is of another scene.
    """
    for shift in shifts:
        task = shift.scene(task)
    scene = task.scene
    if isinstance(scene, CorridorScene):
        world = corridor.make(seed, task, scene)
    elif isinstance(scene, RoadScene):
        world = road.make(seed, task, scene)
    else:
        world = forest.make(seed, task, scene)
    for shift in shifts:
        world = shift.build(world, task)
    if isinstance(scene, ForestWalkScene):  # last, so that its way leads around all that is there
        world = forest_walk.add(world, scene)
    return world
