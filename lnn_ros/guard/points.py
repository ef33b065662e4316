"""What sensors of distance measure, as points in the sensor's frame.

That is x where it looks, y left, z up (REP-103), not an optical frame.

Every function returns the points that stand in the way, shape (n, 3), metres, and the share of
readings that say anything at all (REP-117: infinity says that nothing is there, NaN says nothing).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnn_ros.errors import LnnError

Points = NDArray[np.float64]
NONE: Points = np.empty((0, 3))

_RING = math.radians(5.0)  # between the points of a beam
_DEPTH_CELLS = 48  # a picture is looked at in so many columns: 2 degrees of a wide one


def from_scan(
    ranges: ArrayLike, angle_min: float, angle_increment: float, near: float, far: float
) -> tuple[Points, float]:
    """Return the points of a planar scan (sensor_msgs/LaserScan).

    Parameters
    ----------
    ranges : array_like (n,)
        m. +inf: nothing in range; -inf: something nearer than can be measured; NaN: nothing known.
    angle_min, angle_increment : float
        Angle of the first ray and from ray to ray, rad, about z, positive to the left.
    near, far : float
        What the scanner can measure, m: what is outside, other than infinity, says nothing.

    Raises
    ------
    LnnError
        When the shape is another, or an angle is not finite.
    """
    found = np.asarray(ranges, np.float64)
    if found.ndim != 1 or not math.isfinite(angle_min) or not math.isfinite(angle_increment):
        raise LnnError(
            f"scan of shape {found.shape}, first angle {angle_min}, step "
            f"{angle_increment}: expected one row of ranges and finite angles"
        )
    touching = np.isneginf(found)
    # What is infinitely far is nowhere, also for a sensor that says it could measure that.
    hit = touching | (np.isfinite(found) & (found >= near) & (found <= far))
    usable = hit | np.isposinf(found)
    angles = angle_min + angle_increment * np.flatnonzero(hit)
    distance = np.where(touching, near, found)[hit]
    points = np.stack(
        [distance * np.cos(angles), distance * np.sin(angles), np.zeros(len(angles))], axis=-1
    )
    return points, _share(usable)


def from_range(
    distance: float, field_of_view: float, near: float, far: float
) -> tuple[Points, float]:
    """Return the points of a single beam (sensor_msgs/Range): anywhere in its cone.

    Parameters
    ----------
    distance : float
        m; infinities and NaN as in ``from_scan``.
    field_of_view : float
        Of the cone, from edge to edge, rad, at most pi.
    near, far : float
        What the sensor can measure, m.

    Raises
    ------
    LnnError
        When the angle is none.
    """
    if not 0.0 <= field_of_view <= math.pi:
        raise LnnError(f"range's field of view is {field_of_view}: expected an angle from 0 to pi")
    if distance == math.inf:
        return NONE, 1.0
    if distance == -math.inf:
        distance = near
    if not near <= distance <= far:
        return NONE, 0.0
    return distance * _cone(field_of_view), 1.0


@lru_cache(maxsize=16)
def _cone(field_of_view: float) -> Points:
    """Return directions (n, 3) in a cone about x, none of it further than 4 degrees from one."""
    rings = math.ceil(field_of_view / 2 / _RING)
    found = [(1.0, 0.0, 0.0)]
    for ring in range(1, rings + 1):
        aside = field_of_view / 2 * ring / rings
        along, across = math.cos(aside), math.sin(aside)
        many = math.ceil(math.tau * across / _RING)
        turns = [math.tau * k / many for k in range(many)]
        found += [(along, across * math.cos(turn), across * math.sin(turn)) for turn in turns]
    return np.array(found)


def from_depth(
    depth: ArrayLike,
    focal: tuple[float, float],
    centre: tuple[float, float],
    near: float,
    far: float,
) -> tuple[Points, float]:
    """Return the points of a depth image (sensor_msgs/Image, REP-118), the nearest of each cell.

    Parameters
    ----------
    depth : array_like (height, width)
        Along the optical axis: floating point, m, or unsigned integers, mm, of which 0 says
        nothing.
    focal, centre : tuple of 2 float
        fx, fy and cx, cy of the camera info, pixels.
    near, far : float
        What the camera can measure, m.

    Raises
    ------
    LnnError
        When the shape or the camera is another.
    """
    picture = np.asarray(depth)
    (fx, fy), (cx, cy) = focal, centre
    if (
        picture.ndim != 2
        or 0 in picture.shape
        or not (0.0 < fx < math.inf and 0.0 < fy < math.inf and math.isfinite(cx + cy))
    ):
        raise LnnError(
            f"depth image of shape {picture.shape}, focal lengths {focal}, centre "
            f"{centre}: expected height and width, lengths > 0 and finite pixels"
        )
    if picture.dtype.kind == "u":
        picture = np.where(picture == 0, np.nan, picture * 1e-3)
    picture = picture.astype(np.float64)
    picture[np.isneginf(picture)] = near
    hit = (picture >= near) & (picture <= far)
    share = _share(hit | np.isposinf(picture))
    side = -(-max(picture.shape) // _DEPTH_CELLS)
    height, width = (-(-n // side) for n in picture.shape)
    cells = np.full((height * side, width * side), np.inf)
    cells[: picture.shape[0], : picture.shape[1]][hit] = picture[hit]
    cells = cells.reshape(height, side, width, side).swapaxes(1, 2).reshape(height * width, -1)
    inside = cells.argmin(axis=1)
    nearest = cells[np.arange(len(cells)), inside]
    kept = np.flatnonzero(np.isfinite(nearest))
    x, inside = nearest[kept], inside[kept]
    row = kept // width * side + inside // side
    column = kept % width * side + inside % side
    return np.stack([x, -(column - cx) / fx * x, -(row - cy) / fy * x], axis=-1), share


def from_cloud(cloud: ArrayLike) -> tuple[Points, float]:
    """Return the points of a cloud (sensor_msgs/PointCloud2) that is in the sensor's frame.

    Parameters
    ----------
    cloud : array_like (n, 3)
        m; a point that is not finite says nothing.

    Raises
    ------
    LnnError
        When the shape is another.
    """
    points = np.asarray(cloud, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise LnnError(f"cloud of shape {points.shape}: expected n points of x, y and z")
    good = np.asarray(np.isfinite(points).all(axis=1))
    return points[good], _share(good)


def _share(usable: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(usable)) / usable.size if usable.size else 0.0
