"""Several vehicles in one world: each flies to the target, sees the others and can hit them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from lnn_ros.errors import LnnError
from lnn_ros.simulation.body import STEP_NS, Pose
from lnn_ros.simulation.sensors import Delivery
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions
from lnn_ros.simulation.task import ForestScene, Task
from lnn_ros.simulation.world import Vector, World, distance_to

MOST = 4
"""Vehicles: more find no place about one target."""

_APART = math.radians(60.0)  # as seen from the target, at least
_TURN = math.radians(5.0)


class Fleet:
    """Simulators of one world that advance together. The same arguments give the same bytes.

    The first vehicle starts where the world says; with it alone every byte is that of a
    ``Simulator``. Each other one starts as far from the target, and turned as much away from it,
    as seen from another side.

    Parameters
    ----------
    world : World
        Where to fly.
    count : int
        How many vehicles, 1 to ``MOST``.
    options : SimulatorOptions, optional
        Sensors and disturbances, of each.
    task : Task, optional
        The task that the world was made for; read by its name by default.

    Attributes
    ----------
    simulators : tuple of Simulator
        One for each vehicle: to be commanded and asked; only the fleet advances them.

    Raises
    ------
    LnnError
        When there are not that many places to start from, or an option is outside its domain.
    """

    def __init__(self, world: World, count: int, options: SimulatorOptions | None = None,
                 task: Task | None = None) -> None:
        task = task or Task.load(world.task)
        self.simulators = tuple(
            Simulator(dataclasses.replace(world, start=start, start_yaw=yaw), options,
                      # What blows and what errs is each one's own.
                      seed=world.seed + (k << 32), task=task, others=count - 1)
            for k, (start, yaw) in enumerate(starts(world, task, count)))
        self._meet()

    @property
    def time_ns(self) -> int:
        """Present instant, ns."""
        return self.simulators[0].time_ns

    def advance(self, until_ns: int) -> list[list[Delivery]]:
        """Simulate up to an instant, as far as whole physics steps go.

        Parameters
        ----------
        until_ns : int
            Stamp up to which to simulate, ns.

        Returns
        -------
        list of list of Delivery
            For each vehicle, the samples that arrived, in order of arrival.
        """
        if len(self.simulators) == 1:
            return [self.simulators[0].advance(until_ns)]
        arrived: list[list[Delivery]] = [[] for _ in self.simulators]
        while self.time_ns + STEP_NS <= until_ns:
            now = self.time_ns + STEP_NS
            for simulator, found in zip(self.simulators, arrived, strict=True):
                found += simulator.advance(now)
            self._meet()
        return arrived

    def _meet(self) -> None:
        """Tell every vehicle where the others are."""
        poses: list[Pose] = [(t.position, t.rotation) for t in (
            simulator.truth for simulator in self.simulators)]
        for k, simulator in enumerate(self.simulators):
            simulator.meet(poses[:k] + poses[k + 1:])


def starts(world: World, task: Task, count: int) -> Sequence[tuple[Vector, float]]:
    """Return where vehicles start, and their heading there: the first as the world says.

    Raises
    ------
    LnnError
        When there are not that many free places, or the scene has room for one vehicle only.
    """
    if not 1 <= count <= MOST:
        raise LnnError(f"{count} vehicles are to fly, expected 1 to {MOST}")
    scene = task.scene
    if count == 1:
        return [(world.start, world.start_yaw)]
    if not isinstance(scene, ForestScene):
        raise LnnError(f"{count} vehicles are to fly {task.name}, expected 1: only in a forest is "
                       f"there room for more")
    (x, y, z), (tx, ty, _) = world.start, world.target.position
    found = [(world.start, world.start_yaw)]
    taken = [0.0]
    for step in range(1, round(math.pi / _TURN) + 1):
        for angle in (step * _TURN, -step * _TURN):
            if len(found) == count:
                return found
            cos, sin = math.cos(angle), math.sin(angle)
            place = (tx + cos * (x - tx) - sin * (y - ty), ty + sin * (x - tx) + cos * (y - ty), z)
            apart = min(abs(math.remainder(angle - other, 2.0 * math.pi)) for other in taken)
            free = min((distance_to(solid, place) for solid in world.solids), default=math.inf)
            if apart >= _APART - 1e-9 and free >= scene.area.free_at_start:
                found.append((place, world.start_yaw + angle))
                taken.append(angle)
    if len(found) < count:
        raise LnnError(f"world {world.seed} has {len(found)} free places to start from, expected "
                       f"{count}: take another seed, or fewer vehicles")
    return found
