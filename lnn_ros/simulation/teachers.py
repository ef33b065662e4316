"""Which privileged pilot teaches a task, and how it does that by itself."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.expert import DRIVING, Expert, Manner
from lnn_ros.simulation.pursuit import Pursuit
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import LapGoal, RoverVehicle, Task
from lnn_ros.simulation.world import World


class Teacher(Protocol):
    """A pilot that sees the truth."""

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now: velocity (4,) in the levelled body frame."""


def make_teacher(world: World, task: Task, manner: Manner | None = None) -> Teacher:
    """Return the teacher of a task in a world of it.

    Parameters
    ----------
    world : World
        All of which it knows.
    task : Task
        Its goal and vehicle choose the teacher.
    manner : Manner, optional
        How it flies; a rover is driven as ``DRIVING`` says.
    """
    driven = isinstance(task.vehicle, RoverVehicle)
    if isinstance(task.success, LapGoal):
        return Pursuit(world, DRIVING, task)
    return Expert(world, DRIVING if driven else manner, task)
