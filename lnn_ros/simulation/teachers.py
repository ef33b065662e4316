"""Who teaches a task, and which privileged expert does it as well as it can be done."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.expert import DRIVING, Expert, Manner
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.pursuit import Pursuit
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import LapGoal, RoverVehicle, Task
from lnn_ros.simulation.teacher import Teacher
from lnn_ros.simulation.world import World


class Commanding(Protocol):
    """A pilot that knows where the vehicle really is."""

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now: velocity (4,) in the levelled body frame."""


class Teaching(Commanding, Protocol):
    """One whose wishes can be inferred from what the camera shows."""

    @property
    def turns(self) -> bool:
        """Whether what it does now is of one side, as no mirror shows it."""

    def look(self, truth: Truth, lost: Lost | None = None) -> None:
        """See what the camera shows now; to be called before every command."""


def make_expert(world: World, task: Task, manner: Manner | None = None) -> Commanding:
    """Return the privileged expert of a task in a world of it.

    Parameters
    ----------
    world : World
        All of which it knows.
    task : Task
        Its goal and vehicle choose the expert.
    manner : Manner, optional
        How it flies; a rover is driven as ``DRIVING`` says.
    """
    if isinstance(task.success, LapGoal):
        return Pursuit(world, DRIVING, task)
    return Expert(world, _manner(task, manner), task)


def make_teacher(world: World, geometry: CameraGeometry, task: Task,
                 manner: Manner | None = None) -> Teaching:
    """Return the teacher of a task in a world of it.

    Parameters
    ----------
    world : World
        Of which it knows what the camera has shown; a road's next metres are in view anyhow.
    geometry : CameraGeometry
        The camera.
    task, manner
        As for :func:`make_expert`.
    """
    if isinstance(task.success, LapGoal):
        return Pursuit(world, DRIVING, task)
    return Teacher(world, geometry, _manner(task, manner), task)


def _manner(task: Task, manner: Manner | None) -> Manner | None:
    return DRIVING if isinstance(task.vehicle, RoverVehicle) else manner
