"""The privileged pilot of a task, by its goal."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.expert import DRIVING, Expert, Manner
from lnn_ros.simulation.follower import Follower
from lnn_ros.simulation.pursuit import Pursuit
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import FollowGoal, LapGoal, RoverVehicle, Task
from lnn_ros.simulation.world import World


class Privileged(Protocol):
    """Knows the world and where the vehicle really is."""

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now (4,): m/s in the levelled body frame, and rad/s."""


def make_expert(world: World, task: Task, manner: Manner | None = None) -> Privileged:
    """Return the expert of a task in one world; `manner` says how it flies, but for a rover."""
    if isinstance(task.success, LapGoal):
        return Pursuit(world, DRIVING, task)
    if isinstance(task.success, FollowGoal):
        return Follower(world, manner, task)
    return Expert(world, manner_for(task, manner), task)


def manner_for(task: Task, manner: Manner | None) -> Manner | None:
    """Return how a task's vehicle is moved: a rover as ``DRIVING`` says, a drone as asked."""
    return DRIVING if isinstance(task.vehicle, RoverVehicle) else manner
