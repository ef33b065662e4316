"""Make a corridor :class:`~lnn_ros.simulation.world.World`: a slalom between two walls.

Rows of pillars reach from one wall, then from the other, past the middle, so that no straight way
leads through; the slits between two pillars of a row are too narrow for the vehicle.
"""

from __future__ import annotations

import math

from lnn_ros.simulation.scenes.drawing import Drawing, bounds, turned
from lnn_ros.simulation.task import CorridorScene, Task
from lnn_ros.simulation.world import Pattern, Role, Shape, Solid, World

_STREAM = 0xC0221D


class _Builder(Drawing):
    """Collects solids in the corridor's frame: x from start to target, y to the left."""

    def __init__(self, seed: int, scene: CorridorScene) -> None:
        super().__init__(seed, _STREAM)
        self.scene = scene
        self.length, self.width = self.draw(scene.length), self.draw(scene.width)
        self.solids: list[Solid] = []

    def target(self) -> Solid:
        """Make the coloured column."""
        t = self.scene.target
        red = self.material(Pattern.STRIPES, (-0.02, 0.02), (0.85, 0.98), (0.75, 0.95),
                            (0.3, 0.6), 0.85)
        return Solid("target", Role.TARGET, Shape.CYLINDER, (self.length, 0.0, t.height / 2.0),
                     (t.width / 2.0, t.width / 2.0, t.height / 2.0), 0.0, red)

    def walls(self) -> None:
        """Add both walls, of one height, each with a texture of its own."""
        scene = self.scene
        high, thick = self.draw(scene.wall_height) / 2.0, scene.wall_thickness / 2.0
        half = self.length / 2.0 + scene.overhang
        for name, side in (("left", 1.0), ("right", -1.0)):
            stone = self.material(Pattern(int(self.rng.integers(1, 4))), (0.0, 1.0), (0.05, 0.35),
                                  (0.45, 0.85), (0.3, 0.9), 0.7)
            self.solids.append(Solid(
                f"wall_{name}", Role.WALL, Shape.BOX,
                (self.length / 2.0, side * (self.width / 2.0 + thick), high), (half, thick, high),
                0.0, stone))

    def rows(self) -> None:
        """Add rows of pillars, by turns from one wall and from the other."""
        scene = self.scene
        x, side, row = scene.free_at_ends, 1.0 if self.rng.random() < 0.5 else -1.0, 0
        while x <= self.length - scene.free_at_ends:
            reach = self.width - self.draw(scene.gap)  # from its wall to the edge of the gap
            stone = self.material(Pattern(int(self.rng.integers(1, 4))), (0.0, 1.0), (0.05, 0.4),
                                  (0.35, 0.85), (0.15, 0.5), 0.7)
            radii: list[float] = []
            while (left := reach - 2.0 * sum(radii)) > scene.slit * len(radii):
                radii.append(min(self.draw(scene.pillar_radius), left / 2.0))
            edge, slit = reach, left / len(radii)
            for number, radius in enumerate(radii):
                high = self.draw(scene.pillar_height) / 2.0
                square = self.rng.random() < 0.4
                self.solids.append(Solid(
                    f"pillar_{row}_{number}", Role.PILLAR,
                    Shape.BOX if square else Shape.CYLINDER,
                    (x, side * (self.width / 2.0 - edge + radius), high), (radius, radius, high),
                    0.0, stone))
                edge -= 2.0 * radius + slit
            x, side, row = x + self.draw(scene.spacing), -side, row + 1


def make(seed: int, task: Task, scene: CorridorScene) -> World:
    """Make the corridor of a seed; the vehicle starts at one end, the column is at the other."""
    build = _Builder(seed, scene)
    target = build.target()
    build.walls()
    build.rows()
    # The whole scene is turned and moved, so that the sun, the heading and the axes know nothing of
    # each other, and the start is the origin.
    aside, turn = build.draw(scene.offset), build.draw((-math.pi, math.pi))
    bearing = math.radians(build.draw(scene.bearing))
    solids = tuple(turned(_moved(s, aside), turn) for s in [target, *build.solids])
    ground = build.material(Pattern(int(build.rng.integers(1, 4))), (0.0, 1.0), (0.03, 0.35),
                            (0.35, 0.7), (0.3, 1.2), 0.75)
    return World(
        seed=seed, task=task.name, start=(0.0, 0.0, build.draw(task.vehicle.start_height)),
        start_yaw=math.remainder(turn - bearing, 2.0 * math.pi), target=solids[0], solids=solids,
        ground=ground, light=build.light(), bounds=bounds(solids))


def _moved(solid: Solid, aside: float) -> Solid:
    """Return the solid moved to the left."""
    x, y, z = solid.position
    return Solid(solid.name, solid.role, solid.shape, (x, y + aside, z), solid.size, solid.yaw,
                 solid.material)
