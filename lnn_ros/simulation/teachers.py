"""Who teaches a task: by what the camera shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.expert import DRIVING, Manner
from lnn_ros.simulation.experts import Privileged, manner_for
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.pursuit import Pursuit
from lnn_ros.simulation.shifts import Shift
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import LapGoal, Task
from lnn_ros.simulation.teacher import Teacher
from lnn_ros.simulation.world import World

TEACHING = Manner(cruise=1.2, slow=0.4, shy=1.2)
"""It is slow near obstacles: that leaves a pupil who sees them late the time to turn."""


class Teaching(Privileged, Protocol):
    """One whose wishes can be inferred from what the camera shows."""

    @property
    def turns(self) -> bool:
        """Whether what it does now is of one side, as no mirror shows it."""

    def look(self, truth: Truth, lost: Lost | None = None) -> None:
        """See what the camera shows now; to be called before every command.

        ``lost`` is FRAMES where no frame has come since the last call.
        """


def make_teacher(world: World, geometry: CameraGeometry, task: Task,
                 manner: Manner = TEACHING, shifts: Sequence[Shift] = ()) -> Teaching:
    """Return the teacher of a task in a world of it.

    Parameters
    ----------
    world : World
        Of which it knows what the camera has shown; a road's next metres are in view anyhow.
    geometry : CameraGeometry
        The camera.
    task : Task
        Its goal and vehicle choose the teacher.
    manner : Manner, optional
        How it flies; a rover is driven as ``DRIVING`` says.
    shifts : sequence of Shift
        Of the flight; a road is followed whatever they leave of a frame.
    """
    if isinstance(task.success, LapGoal):
        return Pursuit(world, DRIVING, task)
    return Teacher(world, geometry, manner_for(task, manner), task, shifts)
