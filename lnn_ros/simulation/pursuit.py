"""A privileged pilot that teaches to drive along a road: it knows the road and where it is on it.

It drives at a point of the centreline some way ahead, along the circle that touches its heading
and goes through that point (pure pursuit: Coulter, Carnegie Mellon University, CMU-RI-TR-92-01,
1992), and is the slower, the tighter the road winds ahead.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.expert import DRIVING, Manner
from lnn_ros.simulation.interruption import Lost
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.wishes import command
from lnn_ros.simulation.world import World

AHEAD = 0.9
"""How far ahead along the road the point is, metres: two thirds of the tightest curve's radius."""
_CURVES = (0.3, 0.9, 1.5)  # metres ahead at which it looks how the road winds
_LATERAL = 0.6  # m/s^2, greatest acceleration across
_BACK, _ON_THE_SPOT = 1.2, 1.2  # rad, from which on it turns on the spot, and how fast, rad/s


class Pursuit:
    """The teacher on one road.

    Parameters
    ----------
    world : World
        The world, all of which it knows.
    manner : Manner, optional
        How fast it drives.
    task : Task, optional
        The task that the world was made for; read by its name by default.

    Raises
    ------
    LnnError
        When the world has no road.
    """

    def __init__(self, world: World, manner: Manner | None = None,
                 task: Task | None = None) -> None:
        if world.road is None:
            raise LnnError(f"world {world.seed} of task {world.task} has no road, expected one to "
                           f"drive along")
        self._line = Centreline(world.road.points)
        self._manner = manner or DRIVING
        self._limits = (task or Task.load(world.task)).vehicle
        self._along: float | None = None

    @property
    def turns(self) -> bool:
        """Nothing that it does is of one side only."""
        return False

    def look(self, truth: Truth, lost: Lost | None = None) -> None:
        """See nothing new: it asks for no more of the road than is in view."""

    def command(self, truth: Truth) -> NDArray[np.float64]:
        """Say what to do now.

        Parameters
        ----------
        truth : Truth
            Where the vehicle really is.

        Returns
        -------
        ndarray (4,)
            Forward speed (m/s), two zeros, and yaw rate (rad/s).
        """
        x, y = float(truth.position[0]), float(truth.position[1])
        self._along, _ = self._line.find(x, y, near=self._along)
        to_x, to_y = (b - a for a, b in zip((x, y), self._line.at(self._along + AHEAD),
                                            strict=True))
        off = math.remainder(math.atan2(to_y, to_x) - truth.yaw, 2.0 * math.pi)
        most = self._limits.max_yaw_rate
        bend = max(abs(self._line.curvature(self._along + ahead)) for ahead in _CURVES)
        bend = max(bend, abs(2.0 * math.sin(off) / math.hypot(to_x, to_y)))
        speed = min(self._manner.cruise, math.sqrt(_LATERAL / max(bend, 1e-3)))
        if abs(off) > _BACK:
            return command(0.0, 0.0, 0.0, math.copysign(_ON_THE_SPOT, off), most)
        speed = max(self._manner.slow, speed * math.cos(off))
        turn = speed * 2.0 * math.sin(off) / math.hypot(to_x, to_y)
        return command(speed, 0.0, 0.0, turn, most)
