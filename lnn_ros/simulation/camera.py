"""The simulated camera: pictures of a world from any pose, by ray casting on the CPU.

A renderer turns a :class:`~lnn_ros.simulation.world.World` into tables once, bakes the shadows on
the ground, and then answers every pose with the same bytes, on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.simulation import poses, rays, shading
from lnn_ros.simulation.bodies import DRONE, Part
from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.world import Material, Pattern, Road, Role, Vector, World

_GRID = {1: ((0.0, 0.0),),
         4: ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))}
_ON_TREES = {Pattern.STRIPES: shading.BARK, Pattern.NOISE: shading.LEAVES}
_TEXEL = 0.1
_MOST_TEXELS = 1_000_000
_BURIED = 1000.0  # metres below the ground, where no ray ends


def _vector(name: str, value: Any) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise LnnError(f"{name} is {value!r}, expected three finite numbers")
    return np.ascontiguousarray(array)


def _matrix(name: str, value: Any) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (3, 3) or not np.isfinite(array).all():
        raise LnnError(f"{name} is {value!r}, expected a (3, 3) rotation of finite numbers")
    return np.ascontiguousarray(array)


@dataclass(frozen=True)
class CameraGeometry:
    """Pinhole camera and its mount on the vehicle.

    Attributes
    ----------
    width, height : int
        Pixels; they are square.
    horizontal_fov : float
        Angle of view across the width, rad.
    position : tuple of 3 float
        Optical centre in the body frame, metres.
    tilt : float
        Rotation about the body's y axis, rad, down positive.

    Raises
    ------
    LnnError
        When a value is out of range.
    """

    width: int = 64
    height: int = 48
    horizontal_fov: float = math.pi / 2
    position: Vector = (0.12, 0.0, 0.03)
    tilt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) \
                    or not 1 <= value <= 8192:
                raise LnnError(f"camera {name} is {value!r}, expected a whole number of pixels "
                               f"from 1 to 8192")
        if not 0.0 < self.horizontal_fov < math.pi:
            raise LnnError(f"camera horizontal_fov is {self.horizontal_fov!r} rad, expected more "
                           f"than 0 and less than pi")
        if not -math.pi / 2 <= self.tilt <= math.pi / 2:
            raise LnnError(f"camera tilt is {self.tilt!r} rad, expected -pi/2 to pi/2")
        _vector("camera position", self.position)

    @property
    def focal_length(self) -> float:
        """Focal length in pixels, the same across and down; the centre is (width/2, height/2)."""
        # Rounded, as the last bit of a library's tan differs between CPUs.
        return float(self.width / 2 / round(math.tan(self.horizontal_fov / 2), 12))


class Renderer:
    """Pictures of one world.

    Parameters
    ----------
    world : World
        What is to be seen.
    geometry : CameraGeometry
        Camera and mount.
    samples : int
        Rays per pixel: 1 (pixel centres) or 4 (a rotated grid).
    vehicles : int
        How many vehicles :meth:`render` can draw. An onboard camera does not see its own.
    body : sequence of Part
        What each of them looks like.
    shadows : bool
        False saves the time that shadows on the ground take, for who asks only what is where.

    Raises
    ------
    LnnError
        When ``samples`` is neither 1 nor 4, or a solid or the light of the world is not usable.
    """

    def __init__(self, world: World, geometry: CameraGeometry = CameraGeometry(), samples: int = 4,
                 vehicles: int = 0, shadows: bool = True,
                 body: Sequence[Part] = DRONE) -> None:
        if samples not in _GRID:
            raise LnnError(f"camera samples is {samples!r}, expected 1 or 4")
        self.world = world
        self.geometry = geometry
        parts = list(body) * vehicles
        self._solids = len(world.solids)
        count = self._solids + len(parts)
        materials = [world.ground, *(solid.material for solid in world.solids),
                     *(Material(Pattern.PLAIN, part[4], part[4], 1.0) for part in parts)]
        rows = np.empty((count, rays.COLUMNS))
        for k, solid in enumerate(world.solids):
            if not all(0.0 < half < math.inf for half in solid.size):
                raise LnnError(f"solid {solid.name!r} has size {solid.size!r}, expected three "
                               f"positive half extents in metres")
            rows[k] = _row(solid.position, solid.size, solid.yaw)
        self._parts = np.array([_row(*part[1:4]) for part in body])
        rows[self._solids:] = np.tile(self._parts, (vehicles, 1))
        self._vehicles = vehicles
        patterns = [int(material.pattern) for material in materials]
        for k, solid in enumerate(world.solids, 1):
            if solid.role is Role.TREE:
                patterns[k] = _ON_TREES.get(solid.material.pattern, patterns[k])
        light = _light(world)
        self._suns = _sun_points(light[:3])
        shapes = np.array([*(s.shape for s in world.solids), *(p[0] for p in parts)], np.int64)
        # What walks is left out of what is baked; it casts its shadow as vehicles do.
        self._fixed = self._solids - (world.walk is not None)
        grid, size = self._ground(shapes, rows)
        road = world.road
        paints = [*materials, *((road.surface, road.lines) if road else ())]
        self._scene = shading.Scene(
            shapes, rows, np.array(patterns, np.int64), np.array([_paint(m) for m in paints]),
            (np.arange(count + 1) * 0x9E3779B1 + world.seed * 0x85EBCA77) & 0xFFFFFFFF, light,
            grid, np.empty(size, np.float32), np.empty(size, np.float32),
            np.empty(size, np.float32), _verge(road, grid, size), road.line_width if road else 0.0)
        rays.bake(shapes, rows, self._fixed if shadows else 0, self._suns, grid, self._scene.cover,
                  self._scene.shadow, self._scene.hollow)
        self._targets = [k for k, s in enumerate(world.solids) if s.role is Role.TARGET]

        focal = geometry.focal_length
        cos, sin = round(math.cos(geometry.tilt), 12), round(math.sin(geometry.tilt), 12)
        # Forward, right and up of the camera in the body frame (rows).
        self._mount = np.array([[cos, 0.0, -sin], [0.0, -1.0, 0.0], [sin, 0.0, cos]])
        self._mount_position = np.array(geometry.position, float)
        self._us, self._vs = _slopes(geometry, focal, _GRID[samples])
        self._centre_us, self._centre_vs = _slopes(geometry, focal, _GRID[1])
        self._depth = np.empty((samples, geometry.height, geometry.width))
        self._surface = np.empty(self._depth.shape, np.int64)
        self._veil = np.ones((geometry.height, geometry.width))

    def render(self, position: Any, rotation: Any, out: NDArray[np.uint8] | None = None,
               vehicles: Sequence[tuple[Any, Any]] = (),
               target: bool = True, at_s: float = 0.0) -> NDArray[np.uint8]:
        """Take a picture.

        Parameters
        ----------
        position : array_like (3,)
            The body's position, metres, world frame; the mount is applied to it.
        rotation : array_like (3, 3)
            world_from_body.
        out : ndarray (height, width, 3) uint8, optional
            Written to and returned.
        vehicles : sequence of tuple
            Position and rotation of each vehicle to draw, at most as many as were announced.
        target : bool
            False shows what is behind the target; every other pixel is the same.
        at_s : float
            Instant at which a target that walks is drawn, s from the start.

        Returns
        -------
        ndarray (height, width, 3) uint8
            RGB, rows from top to bottom, columns from left to right.

        Raises
        ------
        LnnError
            When a pose is not finite, there are more vehicles than were announced, or ``out`` has
            another shape or type.
        """
        shape = (self.geometry.height, self.geometry.width, 3)
        if out is None:
            out = np.empty(shape, np.uint8)
        elif out.shape != shape or out.dtype != np.uint8:
            raise LnnError(f"out is {out.dtype} {out.shape}, expected uint8 {shape}")
        origin, axes = self._pose(position, rotation)
        view = origin, axes, self._us, self._vs
        if len(vehicles) > self._vehicles:
            raise LnnError(f"{len(vehicles)} vehicles are to be drawn, expected at most "
                           f"{self._vehicles}")
        scene = self._scene
        self._put_target(at_s)
        ends = [self._solids + k * len(self._parts) for k in range(len(vehicles) + 1)]
        for (where, turned), (first, end) in zip(vehicles, pairwise(ends), strict=True):
            poses.place(self._parts, _vector("vehicle position", where),
                        _matrix("vehicle rotation", turned), scene.rows[first:end])
        rows = scene.rows
        if not target:
            rows = rows.copy()
            rows[self._targets, 2] -= _BURIED
        rays.cast(*view, scene.shapes, rows, ends[-1], self._depth, self._surface)
        self._veil.fill(1.0)
        for first, end in pairwise([self._fixed] * (self._fixed < self._solids) + ends):
            rays.veil(*view, scene.shapes, scene.rows, first, end, self._suns, self._depth,
                      self._surface, self._veil)
        if self._solids - self._fixed + len(vehicles) > 1:  # one may stand in the other's shadow
            np.maximum(self._veil, 0.0, out=self._veil)
        shading.develop(*view, self.geometry.focal_length, scene, self._veil, self._depth,
                        self._surface, out)
        return out

    def cast(self, position: Any, rotation: Any, at_s: float = 0.0,
             ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See what the rays through the pixels' centres meet first.

        Parameters
        ----------
        position, rotation : array_like (3,), (3, 3)
            Pose of the body, as for :meth:`render`.
        at_s : float
            Instant at which a target that walks is met, s from the start.

        Returns
        -------
        index : ndarray (height, width) int64
            Of the solid in ``world.solids``; -1 for the ground, -2 for the sky.
        depth : ndarray (height, width) float64
            Metres along the optical axis; infinite for the sky.
        """
        origin, axes = self._pose(position, rotation)
        self._put_target(at_s)
        depth = np.empty((1, self.geometry.height, self.geometry.width))
        surface = np.empty(depth.shape, np.int64)
        rays.cast(origin, axes, self._centre_us, self._centre_vs, self._scene.shapes,
                  self._scene.rows, self._solids, depth, surface)
        return surface[0] >> 2, np.where(surface[0] == rays.SKY, np.inf, depth[0])

    def target_mask(self, position: Any, rotation: Any, at_s: float = 0.0) -> NDArray[np.bool_]:
        """See where the target is.

        Parameters
        ----------
        position, rotation : array_like (3,), (3, 3)
            Pose of the body, as for :meth:`render`.
        at_s : float
            Instant, s from the start.

        Returns
        -------
        ndarray (height, width) bool
            True where the ray through the pixel's centre meets the target first.
        """
        return np.isin(self.cast(position, rotation, at_s)[0], self._targets)

    def _put_target(self, at_s: float) -> None:
        """Put a target that walks to where it is at an instant."""
        if self.world.walk is not None:
            self._scene.rows[self._fixed, :3] = self.world.target_at(at_s)

    def _pose(self, position: Any, rotation: Any,
              ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Camera position and axes in the world for a pose of the body."""
        where = _vector("position", position)
        turned = _matrix("rotation", rotation)
        return poses.mounted(where, turned, self._mount_position, self._mount)

    def _ground(self, shapes: NDArray[np.int64], rows: NDArray[np.float64],
                ) -> tuple[NDArray[np.float64], tuple[int, int]]:
        """Place and size of the ground's maps: the populated area and all shadows."""
        x_min, x_max, y_min, y_max = self.world.bounds
        slope_x, slope_y = self._suns[0, 0] / self._suns[0, 2], self._suns[0, 1] / self._suns[0, 2]
        for shape, row in zip(shapes[:self._fixed], rows[:self._fixed], strict=True):
            for x, y in ((row[0], row[1]), (row[0] - row[2] * slope_x, row[1] - row[2] * slope_y)):
                half_x = rays.support(shape, row, 1.0, 0.0, -slope_x) + 1.0
                half_y = rays.support(shape, row, 0.0, 1.0, -slope_y) + 1.0
                x_min, x_max = min(x_min, x - half_x), max(x_max, x + half_x)
                y_min, y_max = min(y_min, y - half_y), max(y_max, y + half_y)
        texel = max(_TEXEL, math.sqrt((x_max - x_min) * (y_max - y_min) / _MOST_TEXELS))
        size = int((y_max - y_min) / texel) + 2, int((x_max - x_min) / texel) + 2
        return np.array([x_min, y_min, 1.0 / texel]), size


def _verge(road: Road | None, grid: NDArray[np.float64],
           size: tuple[int, int]) -> NDArray[np.float32]:
    """Distance of every texel from the road's edge, metres, negative on it; empty without one."""
    if road is None:
        return np.empty((0, 0), np.float32)
    x, y = (grid[i] + np.arange(size[1 - i]) / grid[2] for i in (0, 1))
    away = Centreline(road.points).distances(x, y) - road.width / 2.0
    return np.asarray(away, np.float32)


def _paint(material: Material) -> NDArray[np.float64]:
    if not material.scale > 0.0:
        raise LnnError(f"material scale is {material.scale!r}, expected more than 0 metres")
    return np.array([*np.square(material.color), *np.square(material.accent), material.scale])


def _row(centre: Vector, half: Vector, yaw: float) -> NDArray[np.float64]:
    cos, sin = round(math.cos(yaw), 12), round(math.sin(yaw), 12)
    return np.array([*centre, *half, cos, sin, 0.0, -sin, cos, 0.0, 0.0, 0.0, 1.0])


def _light(world: World) -> NDArray[np.float64]:
    light = world.light
    x, y, z = light.direction
    norm = math.sqrt(x * x + y * y + z * z)
    if not z > 0.05 * norm:
        raise LnnError(f"light direction is {light.direction!r}, expected a vector that points up "
                       f"to the sun, at least 3 degrees above the horizon")
    if not light.fog > 0.0:
        raise LnnError(f"light fog is {light.fog!r}, expected more than 0 metres")
    return np.array([x / norm, y / norm, z / norm, light.sun, light.ambient,
                     *np.square(light.zenith), *np.square(light.horizon), light.fog])


def _sun_points(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Middle of the sun and four points around it; wider than the real one, for soft shadows."""
    x, y, z = direction
    points = [direction]
    for dx, dy in ((0.016, 0.006), (-0.006, 0.016), (-0.016, -0.006), (0.006, -0.016)):
        points.append(np.array([x + dx, y + dy, z]))
    return np.array([p / math.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2) for p in points])


def _slopes(geometry: CameraGeometry, focal: float, offsets: tuple[tuple[float, float], ...],
            ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes (right, up) of the rays through columns and rows, for every sample of a pixel."""
    columns = np.arange(geometry.width) + 0.5 - geometry.width / 2
    rows = geometry.height / 2 - 0.5 - np.arange(geometry.height)
    return (np.array([(columns + x) / focal for x, _ in offsets]),
            np.array([(rows - y) / focal for _, y in offsets]))
