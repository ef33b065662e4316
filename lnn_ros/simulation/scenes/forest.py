"""Make a forest :class:`~lnn_ros.simulation.world.World` from a seed and a task."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lnn_ros.simulation.scenes.drawing import Drawing, bounds, turned
from lnn_ros.simulation.task import ForestScene, Task
from lnn_ros.simulation.world import Pattern, Role, Shape, Solid, World

_STREAM, _CROWD, _STONES = 0x0F0E57, 0x0F0E58, 0x0F0E59
_FIRST_MORE = 1000  # index of the first solid that is more than usual
_ATTEMPTS = 400  # placements tried for one obstacle before it is left out


class _Builder(Drawing):
    """Collects solids in the frame of the straight line: x from start to target, y to the left.

    ``length`` is that of the line, metres; drawn by default.
    """

    def __init__(self, scene: ForestScene, seed: int, stream: int = _STREAM,
                 length: float | None = None) -> None:
        super().__init__(seed, stream)
        self.scene = scene
        self.length = self.draw(scene.target.distance) if length is None else length
        self.solids: list[Solid] = []
        self.footprints: list[tuple[float, float, float]] = []  # circles x, y, radius

    def place(self, circles: list[tuple[float, float, float]], gap: float,
              free_target: float) -> bool:
        """Take these footprint circles if they keep their distances, and say whether."""
        area = self.scene.area
        for x, y, r in circles:
            if math.hypot(x, y) < r + area.free_at_start:
                return False
            if math.hypot(x - self.length, y) < r + free_target:
                return False
            for ox, oy, other in self.footprints:
                if math.hypot(x - ox, y - oy) < r + other + gap:
                    return False
        self.footprints += circles
        return True

    def anywhere(self) -> tuple[float, float]:
        """Draw a place in the populated area."""
        area = self.scene.area
        return (self.draw((-area.behind, self.length + area.beyond)),
                self.draw((-area.sideways, area.sideways)))

    def on_the_line(self, reach: float) -> tuple[float, float]:
        """Draw a place from which an obstacle of half width `reach` blocks the straight line."""
        return self.draw((0.25 * self.length, 0.75 * self.length)), self.draw((-reach, reach))

    def obstacle(self, index: int, blocking: bool) -> bool:
        """Add one tree, pillar or wall, and say whether there was room."""
        o = self.scene.obstacles
        kind = self.rng.random()
        if kind < o.tree_share:
            role, radius = Role.TREE, self.draw(o.trunk_radius)
        elif kind < 1.0 - o.wall_share:
            role, radius = Role.PILLAR, self.draw(o.pillar_radius)
        else:
            role, radius = Role.WALL, o.wall_thickness / 2.0
        half = self.draw(o.wall_length) / 2.0 if role is Role.WALL else radius
        yaw = self.draw((0.0, 2.0 * math.pi))
        for _ in range(_ATTEMPTS):
            x, y = self.on_the_line(radius + 0.1) if blocking else self.anywhere()
            circles = [(x, y, radius)]
            if role is Role.WALL:
                steps = np.linspace(-half, half, 2 * math.ceil(half / radius) + 1)
                circles = [(x + math.cos(yaw) * s, y + math.sin(yaw) * s, radius) for s in steps]
            if self.place(circles, o.gap, self.scene.area.free_at_target):
                self.solids += self._obstacle_solids(index, role, x, y, radius, half, yaw)
                return True
        return False

    def _obstacle_solids(self, index: int, role: Role, x: float, y: float, radius: float,
                         half: float, yaw: float) -> list[Solid]:
        o = self.scene.obstacles
        if role is Role.TREE:
            return self.tree(index, x, y, radius, yaw, o.tree_height, o.crown_radius)
        stone = self.material(Pattern(int(self.rng.integers(1, 4))), (0.05, 0.7), (0.0, 0.2),
                              (0.4, 0.85), (0.2, 0.6), 0.75)
        if role is Role.PILLAR:
            height = self.draw(o.pillar_height)
            shape = Shape.CYLINDER if self.rng.random() < 0.6 else Shape.BOX
            # A square pillar lies inside the circle that was kept free for it.
            side = radius if shape is Shape.CYLINDER else radius / math.sqrt(2.0)
            size = (side, side, height / 2.0)
            return [Solid(f"pillar_{index}", role, shape, (x, y, height / 2.0), size, yaw, stone)]
        height = self.draw(o.wall_height)
        return [Solid(f"wall_{index}", role, Shape.BOX, (x, y, height / 2.0),
                      (half, radius, height / 2.0), yaw, stone)]

    def distractor(self, index: int) -> None:
        """Add a small solid of another colour and shape than the target, if there is room."""
        d = self.scene.distractors
        for _ in range(_ATTEMPTS):
            x, y = self.anywhere()
            half = self.draw(d.size)
            if not self.place([(x, y, half * math.sqrt(2.0))], 0.3, d.free_radius):
                continue
            shape = Shape.BOX if self.rng.random() < 0.5 else Shape.ELLIPSOID
            paint = self.material(Pattern(int(self.rng.integers(0, 4))), (0.13, 0.83),
                                  (0.65, 0.95), (0.55, 0.95), (0.15, 0.4), 0.7)
            self.solids.append(Solid(f"distractor_{index}", Role.DISTRACTOR, shape, (x, y, half),
                                     (half, half, half), self.draw((0.0, math.pi)), paint))
            return

    def target(self) -> Solid:
        """Make the coloured column."""
        t = self.scene.target
        red = self.material(Pattern.STRIPES, (-0.02, 0.02), (0.85, 0.98), (0.75, 0.95),
                            (0.3, 0.6), 0.85)
        return Solid("target", Role.TARGET, Shape.CYLINDER, (self.length, 0.0, t.height / 2.0),
                     (t.width / 2.0, t.width / 2.0, t.height / 2.0), 0.0, red)


def make(seed: int, task: Task, scene: ForestScene) -> World:
    """Make the forest of a seed; the target is inside the first view."""
    build = _Builder(scene, seed)
    target = build.target()
    wanted = int(build.rng.integers(int(scene.obstacles.count[0]),
                                    int(scene.obstacles.count[1]) + 1))
    if build.rng.random() < scene.obstacles.blocked:
        build.obstacle(0, blocking=True)
    for index in range(len({s.name.split("_")[1] for s in build.solids}), wanted):
        build.obstacle(index, blocking=False)
    for index in range(int(build.rng.integers(int(scene.distractors.count[0]),
                                              int(scene.distractors.count[1]) + 1))):
        build.distractor(index)
    # The whole scene is turned, so that the sun, the heading and the axes know nothing of each
    # other; the start then looks past the target by the drawn bearing.
    turn = build.draw((-math.pi, math.pi))
    bearing = math.radians(build.draw(scene.target.bearing))
    solids = tuple(turned(s, turn) for s in [target, *build.solids])
    ground = build.material(Pattern.NOISE, (0.08, 0.33), (0.15, 0.5), (0.35, 0.65), (0.3, 1.2),
                            0.75)
    return World(
        seed=seed, task=task.name, start=(0.0, 0.0, build.draw(task.vehicle.start_height)),
        start_yaw=math.remainder(turn - bearing, 2.0 * math.pi), target=solids[0], solids=solids,
        ground=ground, light=build.light(), bounds=bounds(solids))


def crowded(world: World, scene: ForestScene, obstacles: int, distractors: int) -> World:
    """Return a forest with more in it; what was there stays where it was.

    Where there is no room, fewer are added. They keep the distances that the scene asks for.
    """
    x, y = world.target.position[:2]
    turn = math.atan2(y, x)
    build = _Builder(scene, world.seed, _CROWD, math.hypot(x, y))
    build.footprints = [c for s in world.solids if s is not world.target
                        for c in _footprint(turned(s, -turn))]
    for index in range(obstacles):
        build.obstacle(_FIRST_MORE + index, blocking=False)
    for index in range(distractors):
        build.distractor(_FIRST_MORE + index)
    solids = (*world.solids, *(turned(s, turn) for s in build.solids))
    return replace(world, solids=solids, bounds=bounds(solids))


def stones(world: World, share: float) -> World:
    """Return a forest in which a share of the obstacles are standing stones and stacks of crates.

    They stand where a tree, a pillar or a wall stood, inside its footprint.
    """
    build = Drawing(world.seed, _STONES)
    solids: list[Solid] = []
    other: dict[str, bool] = {}
    for solid in world.solids:
        if solid.role not in (Role.TREE, Role.PILLAR, Role.WALL):
            solids.append(solid)
            continue
        index = solid.name.split("_")[1]
        if index not in other:
            other[index] = bool(build.rng.random() < share)
            if other[index]:
                solids += [_stone(build, index, x, y, radius)
                           for x, y, radius in _footprint(solid)]
        if not other[index]:
            solids.append(solid)
    return replace(world, solids=tuple(solids), bounds=bounds(solids))


def _stone(build: Drawing, index: str, x: float, y: float, radius: float) -> Solid:
    """Make a standing stone or a stack of crates inside a circle."""
    half, yaw = build.draw((0.9, 1.7)), build.draw((0.0, math.pi))
    place = f"{index}_{x:.2f}_{y:.2f}"
    if build.rng.random() < 0.5:
        rock = build.material(Pattern.NOISE, (0.55, 0.75), (0.02, 0.15), (0.25, 0.5), (0.1, 0.4))
        return Solid(f"stone_{place}", Role.PILLAR, Shape.ELLIPSOID, (x, y, 0.8 * half),
                     (radius, 0.8 * radius, half), yaw, rock)
    crate = build.material(Pattern.CHECKER, (0.07, 0.12), (0.4, 0.7), (0.5, 0.8), (0.3, 0.6), 0.8)
    side = radius / math.sqrt(2.0)
    return Solid(f"crates_{place}", Role.PILLAR, Shape.BOX, (x, y, half), (side, side, half), yaw,
                 crate)


def _footprint(solid: Solid) -> list[tuple[float, float, float]]:
    """Circles x, y, radius that cover a solid on the ground, as ``place`` takes them; no crowns."""
    (x, y, _), (a, b, _) = solid.position, solid.size
    if solid.role is Role.TREE and solid.shape is Shape.ELLIPSOID:
        return []
    if solid.role is Role.WALL:
        steps = np.linspace(-a, a, 2 * math.ceil(a / b) + 1)
        return [(x + math.cos(solid.yaw) * s, y + math.sin(solid.yaw) * s, b) for s in steps]
    return [(x, y, a * math.sqrt(2.0) if solid.shape is Shape.BOX else a)]
