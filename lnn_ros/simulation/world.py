"""One description of a world, from which physics, camera and (later) Gazebo's SDF are generated.

All positions are metres in the world frame (ENU: x east, y north, z up); the ground is ``z = 0``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, IntEnum

import numpy as np

from lnn_ros.simulation.walks import Walk

Vector = tuple[float, float, float]


class Shape(IntEnum):
    """Shape of a solid; the numbers are those of the camera's ray-caster."""

    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


class Role(str, Enum):
    """What a solid is in the task."""

    TREE = "tree"
    PILLAR = "pillar"
    WALL = "wall"
    TARGET = "target"
    DISTRACTOR = "distractor"


class Pattern(IntEnum):
    """Procedural texture between a material's two colours; numbers as in the ray-caster."""

    PLAIN = 0
    NOISE = 1
    STRIPES = 2
    CHECKER = 3


@dataclass(frozen=True)
class Material:
    """Surface of a solid or of the ground.

    Attributes
    ----------
    pattern : Pattern
        NOISE: smooth value noise; STRIPES: along the vertical axis, around the solid;
        CHECKER: squares.
    color, accent : tuple of 3 float
        RGB in [0, 1] between which the pattern mixes.
    scale : float
        Size of the pattern's features, metres.
    """

    pattern: Pattern
    color: Vector
    accent: Vector
    scale: float


@dataclass(frozen=True)
class Solid:
    """A body that one can see and collide with.

    Attributes
    ----------
    name : str
        Unique in its world.
    role : Role
        What it is in the task.
    shape : Shape
        Geometry.
    position : tuple of 3 float
        Centre, metres, world frame.
    size : tuple of 3 float
        Half extents, metres: BOX (x, y, z); CYLINDER (radius, radius, half height), axis vertical;
        ELLIPSOID semi-axes.
    yaw : float
        Rotation about the vertical, rad.
    material : Material
        Its surface.
    """

    name: str
    role: Role
    shape: Shape
    position: Vector
    size: Vector
    yaw: float
    material: Material


@dataclass(frozen=True)
class Light:
    """Sun and sky light.

    Attributes
    ----------
    direction : tuple of 3 float
        Unit vector towards the sun.
    sun, ambient : float
        Intensities; a surface facing the sun has brightness ``sun + ambient`` times its colour.
    zenith, horizon : tuple of 3 float
        RGB of the sky overhead and at the horizon; the latter is also the fog's colour.
    fog : float
        Distance in metres at which half of a surface's colour has turned into ``horizon``.
    """

    direction: Vector
    sun: float
    ambient: float
    zenith: Vector
    horizon: Vector
    fog: float


@dataclass(frozen=True)
class Road:
    """A closed road on the ground, to be seen only: it lies level with what is beside it.

    Attributes
    ----------
    points : tuple of tuple of 2 float
        Its centreline, metres, evenly spaced in the direction of travel; after the last point
        comes the first.
    width : float
        From edge to edge, metres.
    line_width : float
        Of the lines along both edges, inside of them, metres.
    surface, lines : Material
        What is driven on, and the lines' paint.
    """

    points: tuple[tuple[float, float], ...]
    width: float
    line_width: float
    surface: Material
    lines: Material


@dataclass(frozen=True)
class World:
    """A world, complete: equal seeds and tasks give equal worlds.

    Attributes
    ----------
    seed : int
        Where it was made from; also names its textures.
    task : str
        Name of the task it was made for.
    start : tuple of 3 float
        Where the vehicle is at first, metres.
    start_yaw : float
        Its heading there, rad.
    target : Solid
        The coloured column to go to, where it is at first, or the post at the end of a lap; also
        among ``solids``.
    solids : tuple of Solid
        Everything that one can see and collide with, but the ground.
    ground : Material
        The ground's surface.
    light : Light
        Sun, sky and fog.
    bounds : tuple of 4 float
        x_min, x_max, y_min, y_max of the populated area, metres.
    road : Road or None
        What is to be driven along.
    walk : Walk, optional
        How the target moves; it is the last of ``solids`` then. Nothing else moves.
    """

    seed: int
    task: str
    start: Vector
    start_yaw: float
    target: Solid
    solids: tuple[Solid, ...]
    ground: Material
    light: Light
    bounds: tuple[float, float, float, float]
    road: Road | None = None
    walk: Walk | None = None

    def target_at(self, at_s: float) -> Vector:
        """Centre of the target at an instant, s from the start; metres."""
        if self.walk is None:
            return self.target.position
        return (*self.walk.at(at_s), self.target.position[2])

    def blocked(self, radius: float) -> bool:
        """Whether a body of this radius meets a solid on the straight line to the target.

        The line runs at the start's height from the start to the target's surface.
        """
        x, y, z = self.start
        length = math.hypot(self.target.position[0] - x, self.target.position[1] - y)
        for at in np.arange(0.0, length - self.target.size[0] - radius, 0.05):
            point = (x + (self.target.position[0] - x) * at / length,
                     y + (self.target.position[1] - y) * at / length, z)
            if any(distance_to(s, point) < radius for s in self.solids if s is not self.target):
                return True
        return False


def distance_to(solid: Solid, point: Vector) -> float:
    """Distance from a point to a solid's surface, metres; negative inside.

    Exact for boxes and cylinders; for ellipsoids the first-order estimate ``k0 (k0 - 1) / k1``
    (k0 the scaled radius, k1 the length of its gradient), exact on the surface and for spheres.
    """
    dx, dy, dz = (p - q for p, q in zip(point, solid.position, strict=True))
    cos, sin = math.cos(solid.yaw), math.sin(solid.yaw)
    x, y, z = cos * dx + sin * dy, cos * dy - sin * dx, dz
    a, b, c = solid.size
    if solid.shape == Shape.ELLIPSOID:
        k0 = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
        k1 = math.sqrt((x / a**2) ** 2 + (y / b**2) ** 2 + (z / c**2) ** 2)
        return k0 * (k0 - 1.0) / k1 if k1 > 0.0 else -min(a, b, c)
    excess: tuple[float, ...]
    if solid.shape == Shape.CYLINDER:
        excess = (math.hypot(x, y) - a, abs(z) - c)
    else:
        excess = (abs(x) - a, abs(y) - b, abs(z) - c)
    outside = math.sqrt(sum(max(e, 0.0) ** 2 for e in excess))
    return outside + min(max(excess), 0.0)
