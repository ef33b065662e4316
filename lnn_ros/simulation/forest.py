"""Make a forest :class:`~lnn_ros.simulation.world.World` from a seed and a task."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from lnn_ros.simulation.task import Range, Task
from lnn_ros.simulation.world import (
    Light,
    Material,
    Pattern,
    Role,
    Shape,
    Solid,
    Vector,
    World,
)

_STREAM = 0x0F0E57  # keeps the generator's random numbers apart from the simulator's
_ATTEMPTS = 400  # placements tried for one obstacle before it is left out
_CROWN_LOWEST = 2.2  # metres; crowns hang above the flight height


class _Builder:
    """Collects solids in the frame of the straight line: x from start to target, y to the left."""

    def __init__(self, seed: int, task: Task) -> None:
        self.task = task
        self.rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, _STREAM))))
        self.length = self.draw(task.target.distance)
        self.solids: list[Solid] = []
        self.footprints: list[tuple[float, float, float]] = []  # circles x, y, radius

    def draw(self, limits: Range) -> float:
        """Draw evenly from a range."""
        return float(self.rng.uniform(*limits))

    def color(self, hue: Range, saturation: Range, value: Range) -> Vector:
        """Draw a colour; hue in turns."""
        return colorsys.hsv_to_rgb(self.draw(hue) % 1.0, self.draw(saturation), self.draw(value))

    def material(self, pattern: Pattern, hue: Range, saturation: Range, value: Range,
                 scale: Range, contrast: float = 0.6) -> Material:
        """Draw a material whose accent is the same colour, darker by `contrast`."""
        color = self.color(hue, saturation, value)
        dark = self.draw((contrast - 0.1, contrast + 0.1))
        return Material(pattern, color, (color[0] * dark, color[1] * dark, color[2] * dark),
                        self.draw(scale))

    def place(self, circles: list[tuple[float, float, float]], gap: float,
              free_target: float) -> bool:
        """Take these footprint circles if they keep their distances, and say whether."""
        area = self.task.area
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
        area = self.task.area
        return (self.draw((-area.behind, self.length + area.beyond)),
                self.draw((-area.sideways, area.sideways)))

    def on_the_line(self, reach: float) -> tuple[float, float]:
        """Draw a place from which an obstacle of half width `reach` blocks the straight line."""
        return self.draw((0.25 * self.length, 0.75 * self.length)), self.draw((-reach, reach))

    def obstacle(self, index: int, blocking: bool) -> bool:
        """Add one tree, pillar or wall, and say whether there was room."""
        o = self.task.obstacles
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
            if self.place(circles, o.gap, self.task.area.free_at_target):
                self.solids += self._obstacle_solids(index, role, x, y, radius, half, yaw)
                return True
        return False

    def _obstacle_solids(self, index: int, role: Role, x: float, y: float, radius: float,
                         half: float, yaw: float) -> list[Solid]:
        o = self.task.obstacles
        if role is Role.TREE:
            height, crown = self.draw(o.tree_height), self.draw(o.crown_radius)
            tall = min(crown * self.draw((0.8, 1.4)), (height - _CROWN_LOWEST) / 2.0)
            bark = self.material(Pattern.STRIPES, (0.05, 0.11), (0.25, 0.55), (0.25, 0.5),
                                 (0.08, 0.2))
            leaves = self.material(Pattern.NOISE, (0.17, 0.4), (0.35, 0.75), (0.3, 0.65),
                                   (0.15, 0.4), 0.5)
            top = height - tall
            return [
                Solid(f"tree_{index}_trunk", role, Shape.CYLINDER, (x, y, top / 2.0),
                      (radius, radius, top / 2.0), yaw, bark),
                Solid(f"tree_{index}_crown", role, Shape.ELLIPSOID, (x, y, top),
                      (crown, crown, max(tall, 0.4)), yaw, leaves),
            ]
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
        d = self.task.distractors
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
        t = self.task.target
        red = self.material(Pattern.STRIPES, (-0.02, 0.02), (0.85, 0.98), (0.75, 0.95),
                            (0.3, 0.6), 0.85)
        return Solid("target", Role.TARGET, Shape.CYLINDER, (self.length, 0.0, t.height / 2.0),
                     (t.width / 2.0, t.width / 2.0, t.height / 2.0), 0.0, red)

    def light(self) -> Light:
        """Make sun, sky and fog."""
        elevation, azimuth = math.radians(self.draw((25.0, 70.0))), self.draw((0.0, 2 * math.pi))
        horizon = self.color((0.52, 0.64), (0.02, 0.25), (0.75, 0.95))
        return Light(
            direction=(math.cos(elevation) * math.cos(azimuth),
                       math.cos(elevation) * math.sin(azimuth), math.sin(elevation)),
            sun=self.draw((0.5, 0.85)), ambient=self.draw((0.3, 0.5)),
            zenith=self.color((0.55, 0.63), (0.35, 0.7), (0.6, 0.95)), horizon=horizon,
            fog=self.draw((40.0, 150.0)))


def make_world(seed: int, task: Task) -> World:
    """Make the world of a seed.

    Parameters
    ----------
    seed : int
        Non-negative; see :mod:`lnn_ros.simulation.seeds` for who may use which.
    task : Task
        What makes it hard.

    Returns
    -------
    World
        Start at the origin with the target inside the first view; equal for equal arguments.
    """
    build = _Builder(seed, task)
    target = build.target()
    wanted = int(build.rng.integers(int(task.obstacles.count[0]),
                                    int(task.obstacles.count[1]) + 1))
    if build.rng.random() < task.obstacles.blocked:
        build.obstacle(0, blocking=True)
    for index in range(len({s.name.split("_")[1] for s in build.solids}), wanted):
        build.obstacle(index, blocking=False)
    for index in range(int(build.rng.integers(int(task.distractors.count[0]),
                                              int(task.distractors.count[1]) + 1))):
        build.distractor(index)
    # The whole scene is turned, so that the sun, the heading and the axes know nothing of each
    # other; the start then looks past the target by the drawn bearing.
    turn = build.draw((-math.pi, math.pi))
    bearing = math.radians(build.draw(task.target.bearing))
    solids = tuple(_turned(s, turn) for s in [target, *build.solids])
    x = [s.position[0] + side * max(s.size[:2]) for s in solids for side in (-1.0, 1.0)]
    y = [s.position[1] + side * max(s.size[:2]) for s in solids for side in (-1.0, 1.0)]
    ground = build.material(Pattern.NOISE, (0.08, 0.33), (0.15, 0.5), (0.35, 0.65), (0.3, 1.2),
                            0.75)
    return World(
        seed=seed, task=task.name, start=(0.0, 0.0, build.draw(task.vehicle.start_height)),
        start_yaw=math.remainder(turn - bearing, 2.0 * math.pi), target=solids[0], solids=solids,
        ground=ground, light=build.light(),
        bounds=(min(0.0, *x), max(0.0, *x), min(0.0, *y), max(0.0, *y)))


def _turned(solid: Solid, turn: float) -> Solid:
    """Return the solid turned about the world's vertical axis."""
    x, y, z = solid.position
    cos, sin = math.cos(turn), math.sin(turn)
    return Solid(solid.name, solid.role, solid.shape, (cos * x - sin * y, sin * x + cos * y, z),
                 solid.size, math.remainder(solid.yaw + turn, 2.0 * math.pi), solid.material)
