"""Make a :class:`~lnn_ros.simulation.world.World` with a winding road from a seed and a task."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.scenes.drawing import Drawing, bounds, turned
from lnn_ros.simulation.task import RoadScene, Task
from lnn_ros.simulation.world import Material, Pattern, Road, Role, Shape, Solid, World

_STREAM = 0x0F0E60
_WAVES = (2, 3, 4)  # periods of the swings about a circle
_SPACING = 0.2  # metres between points of the centreline
_FINE = 1440  # points of the curve before it is spaced evenly
_ATTEMPTS = 400
_FIELD = 3.0  # metres of populated ground beside the road's outermost points
_POST = (0.3, 0.06, 1.2)  # metres: beside the road's edge, radius, height
_FREE_AT_START = 1.5

Floats = NDArray[np.float64]


class _Builder(Drawing):
    """Draws road and trees in the frame of the road's circle."""

    def __init__(self, scene: RoadScene, seed: int) -> None:
        super().__init__(seed, _STREAM)
        self.scene = scene

    def centreline(self) -> Floats:
        """Draw a curve (n, 2) that keeps the scene's radius and distances."""
        length = self.draw(self.scene.length)
        angle = np.linspace(0.0, 2.0 * math.pi, _FINE, endpoint=False)
        for _ in range(_ATTEMPTS):
            swing = self.draw(self.scene.winding)
            shares = self.rng.dirichlet(np.ones(len(_WAVES)))
            phases = self.rng.uniform(0.0, 2.0 * math.pi, len(_WAVES))
            away = 1.0 + swing * sum(
                share * np.cos(k * angle + phase)
                for k, share, phase in zip(_WAVES, shares, phases, strict=True))
            curve = np.stack([away * np.cos(angle), away * np.sin(angle)], 1)
            curve *= length / Centreline(curve).length
            points = _even(curve)
            if self._drivable(points):
                if self.rng.random() < 0.5:
                    points = points[::-1].copy()
                return points
        raise LnnError(f"no road of {self.scene.length} m with curves of "
                       f"{self.scene.least_radius} m found in {_ATTEMPTS} attempts: expected a "
                       f"scene with more length, or less winding")

    def _drivable(self, points: Floats) -> bool:
        """Whether the curves are wide enough, and different parts of the road apart."""
        ahead, behind = np.roll(points, -2, axis=0) - points, points - np.roll(points, 2, axis=0)
        cross = behind[:, 0] * ahead[:, 1] - behind[:, 1] * ahead[:, 0]
        turn = np.arctan2(cross, (ahead * behind).sum(1))
        if np.abs(turn).max() > 2.0 * _SPACING / self.scene.least_radius:
            return False
        apart = self.scene.width + self.scene.apart
        between = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
        steps = np.abs(np.arange(len(points))[:, None] - np.arange(len(points)))
        far = np.minimum(steps, len(points) - steps) * _SPACING > 0.5 * math.pi * apart
        return bool(between[far].min() >= apart)

    def trees(self, line: Centreline, points: Floats) -> list[Solid]:
        """Draw trees on both sides of the road, none near the start."""
        t, width = self.scene.trees, self.scene.width
        low, high = points.min(0) - _FIELD, points.max(0) + _FIELD
        solids: list[Solid] = []
        circles: list[tuple[float, float, float]] = []
        for index in range(int(self.rng.integers(int(t.count[0]), int(t.count[1]) + 1))):
            for _ in range(_ATTEMPTS):
                x, y = self.draw((low[0], high[0])), self.draw((low[1], high[1]))
                radius = self.draw(t.trunk_radius)
                beside = abs(line.find(x, y)[1]) - width / 2.0 - radius
                free = all(math.hypot(x - a, y - b) > radius + r + t.gap for a, b, r in circles)
                start = math.hypot(x - points[0, 0], y - points[0, 1]) > _FREE_AT_START + radius
                if t.beside[0] <= beside <= t.beside[1] and free and start:
                    circles.append((x, y, radius))
                    solids += self.tree(index, x, y, radius, self.draw((0.0, 2.0 * math.pi)),
                                        t.tree_height, t.crown_radius)
                    break
        return solids

    def post(self, line: Centreline) -> Solid:
        """Make the post to the left of where a lap begins and ends."""
        beside, radius, height = _POST
        (x, y), heading = line.at(0.0), line.heading(0.0)
        off = self.scene.width / 2.0 + beside
        red = self.material(Pattern.STRIPES, (-0.02, 0.02), (0.85, 0.98), (0.75, 0.95),
                            (0.1, 0.2), 0.85)
        return Solid("target", Role.TARGET, Shape.CYLINDER,
                     (x - off * math.sin(heading), y + off * math.cos(heading), height / 2.0),
                     (radius, radius, height / 2.0), 0.0, red)

    def surface(self) -> tuple[Material, Material]:
        """Draw asphalt and the paint of the lines."""
        asphalt = self.material(Pattern.NOISE, (0.0, 1.0), (0.0, 0.08), (0.2, 0.45), (0.1, 0.3),
                                0.75)
        paint = self.material(Pattern.PLAIN, (0.1, 0.16), (0.0, 0.15), (0.85, 1.0), (1.0, 1.0))
        return asphalt, paint


def make(seed: int, task: Task, scene: RoadScene) -> World:
    """Make the road of a seed; the vehicle starts on it, looking along it."""
    build = _Builder(scene, seed)
    points = build.centreline()
    line = Centreline(points)
    solids = [build.post(line), *build.trees(line, points)]
    surface, lines = build.surface()
    # The start becomes the origin, and everything is turned: sun and axes know nothing of the road.
    turn = build.draw((-math.pi, math.pi))
    x, y = points[0].tolist()
    moved = tuple(turned(_moved(solid, -x, -y), turn) for solid in solids)
    cos, sin = math.cos(turn), math.sin(turn)
    # Rounded, as the last bits of a library's functions differ between computers.
    placed = tuple((round(cos * a - sin * b, 9), round(sin * a + cos * b, 9))
                   for a, b in (points - points[0]).tolist())
    ground = build.material(Pattern.NOISE, (0.08, 0.33), (0.15, 0.5), (0.35, 0.65), (0.3, 1.2),
                            0.75)
    low_x, high_x, low_y, high_y = bounds(moved)
    xs, ys = [p[0] for p in placed], [p[1] for p in placed]
    return World(
        seed=seed, task=task.name, start=(0.0, 0.0, build.draw(task.vehicle.start_height)),
        start_yaw=math.remainder(line.heading(0.0) + turn, 2.0 * math.pi), target=moved[0],
        solids=moved, ground=ground, light=build.light(),
        bounds=(min(low_x, min(xs) - 1.0), max(high_x, max(xs) + 1.0),
                min(low_y, min(ys) - 1.0), max(high_y, max(ys) + 1.0)),
        road=Road(placed, scene.width, scene.line_width, surface, lines))


def _even(curve: Floats) -> Floats:
    """Points of a closed curve with about ``_SPACING`` between them."""
    line = Centreline(curve)
    count = round(line.length / _SPACING)
    return np.array([line.at(k * line.length / count) for k in range(count)])


def _moved(solid: Solid, x: float, y: float) -> Solid:
    """Return the solid at another place."""
    a, b, z = solid.position
    return Solid(solid.name, solid.role, solid.shape, (a + x, b + y, z), solid.size, solid.yaw,
                 solid.material)
