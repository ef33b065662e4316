"""What the makers of worlds share: random numbers, paint, light, and turning it all."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np

from lnn_ros.simulation.task import Range
from lnn_ros.simulation.world import Light, Material, Pattern, Role, Shape, Solid, Vector

_CROWN_LOWEST = 2.2  # metres


class Drawing:
    """Draw what a world is made of.

    Parameters
    ----------
    seed : int
        Of the world.
    stream : int
        Keeps a maker's random numbers apart from those of the simulator and of other makers.
    """

    def __init__(self, seed: int, stream: int) -> None:
        self.rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, stream))))

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

    def tree(self, index: int, x: float, y: float, radius: float, yaw: float, heights: Range,
             crowns: Range) -> list[Solid]:
        """Draw a tree: its trunk, and its crown above it, which hangs above the flight height."""
        height, crown = self.draw(heights), self.draw(crowns)
        tall = min(crown * self.draw((0.8, 1.4)), (height - _CROWN_LOWEST) / 2.0)
        bark = self.material(Pattern.STRIPES, (0.05, 0.11), (0.25, 0.55), (0.25, 0.5), (0.08, 0.2))
        leaves = self.material(Pattern.NOISE, (0.17, 0.4), (0.35, 0.75), (0.3, 0.65), (0.15, 0.4),
                               0.5)
        top = height - tall
        return [
            Solid(f"tree_{index}_trunk", Role.TREE, Shape.CYLINDER, (x, y, top / 2.0),
                  (radius, radius, top / 2.0), yaw, bark),
            Solid(f"tree_{index}_crown", Role.TREE, Shape.ELLIPSOID, (x, y, top),
                  (crown, crown, max(tall, 0.4)), yaw, leaves),
        ]

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


def turned(solid: Solid, turn: float) -> Solid:
    """Return the solid turned about the world's vertical axis."""
    x, y, z = solid.position
    cos, sin = math.cos(turn), math.sin(turn)
    return Solid(solid.name, solid.role, solid.shape, (cos * x - sin * y, sin * x + cos * y, z),
                 solid.size, math.remainder(solid.yaw + turn, 2.0 * math.pi), solid.material)


def bounds(solids: Sequence[Solid]) -> tuple[float, float, float, float]:
    """x_min, x_max, y_min, y_max (m) of everything, the start in the origin included."""
    x = [s.position[0] + side * max(s.size[:2]) for s in solids for side in (-1.0, 1.0)]
    y = [s.position[1] + side * max(s.size[:2]) for s in solids for side in (-1.0, 1.0)]
    return min(0.0, *x), max(0.0, *x), min(0.0, *y), max(0.0, *y)
