"""The privileged pilot of a task, by its goal."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.expert import Expert, Manner
from lnn_ros.simulation.follower import Follower
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import FollowGoal, Task
from lnn_ros.simulation.world import World


class Privileged(Protocol):
    """Knows the world and where the vehicle really is."""

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now (4,): m/s in the levelled body frame, and rad/s."""


def make_expert(world: World, task: Task, manner: Manner | None = None) -> Privileged:
    """Return the expert of a task in one world; `manner` says how it flies."""
    if isinstance(task.success, FollowGoal):
        return Follower(world, manner, task)
    return Expert(world, manner, task)
