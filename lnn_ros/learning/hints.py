"""What the truth says about a frame: targets of auxiliary losses that help the encoder learn.

Only training uses them; nothing of this is part of a policy.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.centreline import Centreline
from lnn_ros.simulation.world import Shape, World, distance_to

COLUMNS = 8
"""Sectors of the view, left to right, whose nearest obstacle is told."""
HINTS = COLUMNS + 4
"""Proximities, then target visible (0 or 1), and its direction (forward, left) and proximity. On a
road, its edges are obstacles, and the target is the road some way ahead."""
NAMES = (*(f"nearness_{k}" for k in range(COLUMNS)), "target_visible", "target_forward",
         "target_left", "target_nearness")  # fmt: skip
"""What each of them is called where they are recorded."""
_RAYS = 4  # per column
_ROAD_AHEAD = 1.2  # m
_TEXEL = 0.05  # m
_FARTHEST = 6.0  # m to a road's edge
_BODY = 0.2  # m, above and below the vehicle's height within which a solid is in the way


def proximity(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nearness of a distance in metres: 1 at 0.7 m, 0.1 at 10 m."""
    return 1.0 / (0.3 + np.maximum(distance, 0.0))


class Hinter:
    """Tell the hints of one world.

    Parameters
    ----------
    world : World
    horizontal_fov : float
        Of the camera, rad.
    """

    def __init__(self, world: World, horizontal_fov: float) -> None:
        solids = world.solids
        self._world, self._solids = world, solids
        self._reaches = np.array([math.hypot(*s.size) for s in solids])
        self._centres = np.array([s.position for s in solids])
        self._sizes = np.array([s.size for s in solids])
        self._boxes = np.array([s.shape is Shape.BOX for s in solids])
        self._yaws = np.array([s.yaw for s in solids])
        self._target = next(i for i, s in enumerate(solids) if s is world.target)
        edge = math.tan(horizontal_fov / 2)
        pixels = np.linspace(1, -1, COLUMNS * _RAYS + 1)
        self._bearings = np.arctan(edge * (pixels[:-1] + pixels[1:]) / 2)
        self._half_fov = horizontal_fov / 2
        self._road = _Verge(world) if world.road else None

    def _cast(
        self, x: float, y: float, z: float, headings: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Horizontal distances (rays, solids) along world headings; inf where a ray misses."""
        direction = np.stack([np.cos(headings), np.sin(headings)], 1)[:, None]
        offset = self._centres[:, :2] - (x, y)
        along = (direction * offset).sum(-1)
        across = direction[..., 0] * offset[:, 1] - direction[..., 1] * offset[:, 0]
        radius = self._sizes[:, 0]
        inside = radius**2 - across**2
        round_ = np.where(inside > 0, along - np.sqrt(np.maximum(inside, 0.0)), np.inf)
        round_ = np.where(along > 0, round_, np.inf)
        # Boxes: slabs in their own frame.
        cos, sin = np.cos(self._yaws), np.sin(self._yaws)
        local = np.stack(
            [cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0]], -1
        )
        turned = np.stack(
            [
                cos * direction[..., 0] + sin * direction[..., 1],
                cos * direction[..., 1] - sin * direction[..., 0],
            ],
            -1,
        )
        turned = np.where(np.abs(turned) < 1e-9, 1e-9, turned)
        near = (local - np.sign(turned) * self._sizes[:, :2]) / turned
        far = (local + np.sign(turned) * self._sizes[:, :2]) / turned
        enter, leave = near.max(-1), far.min(-1)
        box = np.where((enter < leave) & (leave > 0), np.maximum(enter, 0.0), np.inf)
        distances = np.where(self._boxes, box, np.maximum(round_, 0.0))
        bottom, top = (self._centres[:, 2] + side * self._sizes[:, 2] for side in (-1, 1))
        in_the_way = (bottom < z + _BODY) & (top > z - _BODY)
        return np.where(in_the_way, distances, np.inf)

    def clearance(self, x: float, y: float, z: float) -> float:
        """Distance in metres from a point to the nearest solid but the target."""
        bound = np.linalg.norm(self._centres - (x, y, z), axis=1) - self._reaches
        bound[self._target] = np.inf
        nearest = np.inf
        for index in np.argsort(bound):
            if bound[index] >= nearest:
                break
            nearest = min(nearest, distance_to(self._solids[index], (x, y, z)))
        return float(nearest)

    def room(self, x: float, y: float, z: float, radius: float) -> float:
        """Room in metres about a vehicle's surface; on a road, of its middle within the edges."""
        free = self.clearance(x, y, z) - radius
        return min(free, self._road.inside(x, y)) if self._road else free

    def heading_for(self, x: float, y: float) -> tuple[float, float]:
        """Where a vehicle is to look: at the target, or along the road."""
        if self._road:
            return self._road.ahead(x, y)
        goal_x, goal_y = self._centres[self._target, :2].tolist()
        return goal_x, goal_y

    def __call__(
        self, x: float, y: float, z: float, yaw: float, at_s: float = 0.0
    ) -> NDArray[np.float32]:
        """Hints (HINTS,) for a vehicle at a position (m) with a heading (rad), s from the start."""
        self._centres[self._target] = self._world.target_at(at_s)
        out = np.empty(HINTS, np.float32)
        distances = self._cast(x, y, z, yaw + self._bearings)
        distances[:, self._target] = np.inf
        nearest = distances.min(1).reshape(COLUMNS, _RAYS).min(1)
        goal_x, goal_y = self.heading_for(x, y)
        dx, dy = goal_x - x, goal_y - y
        bearing = math.remainder(math.atan2(dy, dx) - yaw, 2 * math.pi)
        away = math.hypot(dx, dy)
        if self._road:
            edge = self._road.cast(x, y, yaw + self._bearings).reshape(COLUMNS, _RAYS).min(1)
            out[:COLUMNS] = proximity(np.minimum(nearest, edge))
            there = float(abs(bearing) < self._half_fov)
            out[COLUMNS:] = (there, math.cos(bearing), math.sin(bearing), proximity(np.array(away)))
            return out
        out[:COLUMNS] = proximity(nearest)
        # Any part of it: rays across most of its width.
        across = math.atan2(float(self._sizes[self._target, 0]), away) * np.linspace(-0.9, 0.9, 7)
        rays = self._cast(x, y, z, yaw + bearing + across)
        rays[:, self._target] = np.inf
        inside = np.abs(bearing + across) < self._half_fov
        visible = bool((inside & (rays.min(1) > away - self._sizes[self._target, 0])).any())
        out[COLUMNS:] = (visible, math.cos(bearing), math.sin(bearing), proximity(np.array(away)))
        return out


class _Verge:
    """The edges of a world's road, as seen from places on it."""

    def __init__(self, world: World) -> None:
        assert world.road is not None
        self._line = Centreline(world.road.points)
        self._half = world.road.width / 2.0
        low_x, high_x, low_y, high_y = world.bounds
        self._low = np.array([low_x, low_y])
        x, y = np.arange(low_x, high_x, _TEXEL), np.arange(low_y, high_y, _TEXEL)
        self._inside = self._half - self._line.distances(x, y)

    def inside(self, x: float, y: float) -> float:
        """Distance in metres from a place to the road's edge; off the road negative."""
        return self._half - abs(self._line.find(x, y)[1])

    def ahead(self, x: float, y: float) -> tuple[float, float]:
        """Point in the middle of the road, some way on from where a place is along it."""
        return self._line.at(self._line.find(x, y)[0] + _ROAD_AHEAD)

    def cast(self, x: float, y: float, headings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances along headings to where the road ends; 0 off the road."""
        along = np.zeros(len(headings))
        way = np.stack([np.cos(headings), np.sin(headings)])
        last = np.array(self._inside.shape)[::-1] - 1
        while True:
            # As far as the nearest edge is, no ray can have met any.
            places = np.array([x, y])[:, None] + along * way
            i, j = np.clip(np.round((places - self._low[:, None]) / _TEXEL), 0,
                           last[:, None]).astype(int)
            free = self._inside[j, i]
            going = (free > _TEXEL) & (along < _FARTHEST)
            if not going.any():
                return along
            along = np.where(going, along + free, along)
