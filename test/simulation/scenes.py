"""Worlds of a few bodies for tests of the camera, and a forest of every shape and pattern."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np

from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.world import Light, Material, Pattern, Road, Role, Shape, Solid, World

GREY = Material(Pattern.PLAIN, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1.0)
RED = Material(Pattern.PLAIN, (0.9, 0.0, 0.0), (0.9, 0.0, 0.0), 1.0)
SUN = Light(direction=(0.0, 0.6, 0.8), sun=0.8, ambient=0.3, zenith=(0.3, 0.5, 0.9),
            horizon=(0.8, 0.85, 0.9), fog=1e9)
LEVEL = np.eye(3)
AHEAD = (0.0, 0.0, 1.5)
CENTRED = CameraGeometry(position=(0.0, 0.0, 0.0))


def solid(name: str, shape: Shape, position: tuple[float, float, float],
          size: tuple[float, float, float], yaw: float = 0.0, material: Material = GREY,
          role: Role = Role.PILLAR) -> Solid:
    return Solid(name, role, shape, position, size, yaw, material)


def world_of(*solids: Solid, light: Light = SUN, ground: Material = GREY, seed: int = 1,
             road: Road | None = None,
             bounds: tuple[float, float, float, float] = (-10.0, 10.0, -10.0, 10.0)) -> World:
    target = next((s for s in solids if s.role is Role.TARGET),
                  solid("target", Shape.CYLINDER, (90.0, 0.0, 1.0), (0.5, 0.5, 1.0)))
    return World(seed, "test", AHEAD, 0.0, target, tuple(solids), ground, light,
                 bounds, road)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    return (np.array([[cy, -sy, 0.0], [sy, cy, 0.0], [0.0, 0.0, 1.0]])
            @ np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
            @ np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]]))


FOREST = world_of(
    solid("target", Shape.CYLINDER, (8.0, 1.0, 1.0), (0.5, 0.5, 1.0), material=dataclasses.replace(
        RED, pattern=Pattern.STRIPES, accent=(0.9, 0.8, 0.8), scale=0.4), role=Role.TARGET),
    *(solid(f"trunk{k}", Shape.CYLINDER, (2.0 + k, 1.5 * (-1) ** k, 1.5), (0.2, 0.2, 1.5), 0.3 * k,
            Material(Pattern.STRIPES, (0.4, 0.3, 0.2), (0.2, 0.15, 0.1), 0.1), Role.TREE)
      for k in range(5)),
    *(solid(f"crown{k}", Shape.ELLIPSOID, (2.0 + k, 1.5 * (-1) ** k, 3.5), (1.0, 0.9, 1.1), 0.3 * k,
            Material(Pattern.NOISE, (0.2, 0.5, 0.2), (0.1, 0.2, 0.1), 0.3), Role.TREE)
      for k in range(5)),
    solid("wall", Shape.BOX, (6.0, -3.0, 1.0), (1.5, 0.1, 1.0), 1.1,
          Material(Pattern.CHECKER, (0.6, 0.6, 0.6), (0.3, 0.3, 0.3), 0.3), Role.WALL),
    light=dataclasses.replace(SUN, fog=60.0),
    ground=Material(Pattern.NOISE, (0.4, 0.4, 0.2), (0.2, 0.3, 0.1), 0.7))


def forest_digest() -> str:
    """Digest of pictures of the test's forest, of every kernel and pattern."""
    onboard = Renderer(FOREST)
    chase = Renderer(FOREST, CameraGeometry(81, 45, tilt=0.2), vehicles=1)
    digest = hashlib.sha256()
    for k in range(8):
        pose = (0.5 * k, 0.1 * k, 1.5), rotation(0.2 * k, 0.05 * k, -0.2 * k)
        digest.update(onboard.render(*pose).tobytes())
        digest.update(chase.render((-2.0, 0.0, 2.0), LEVEL, vehicles=[pose]).tobytes())
    return digest.hexdigest()
