"""Messages of sensors of distance -> points that stand in the way; duck-typed as ``messages``.

Every function returns what those of ``guard.points`` do: points (n, 3) in the sensor's frame (x
where it looks, y left, z up), m, and the share of readings that say anything.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.guard.points import Points, from_cloud, from_depth, from_range, from_scan
from lnn_ros.images import MAX_SIDE

MAX_POINTS = 4_000_000
"""More than any sensor has; a message that claims more is refused before anything is made of it."""

_DEPTHS: dict[str, tuple[str, int]] = {"32FC1": ("f4", 4), "16UC1": ("u2", 2), "mono16": ("u2", 2)}
_FLOATS: dict[int, tuple[str, int]] = {7: ("f4", 4), 8: ("f8", 8)}  # of sensor_msgs/PointField


def scan_points(message: Any) -> tuple[Points, float]:
    """Decode a ``sensor_msgs/LaserScan``.

    Raises
    ------
    LnnError
        When its angles or its range are none.
    """
    near, far = _reach(message)
    ranges = np.asarray(message.ranges, np.float64)
    return from_scan(ranges, float(message.angle_min), float(message.angle_increment), near, far)


def range_points(message: Any) -> tuple[Points, float]:
    """Decode a ``sensor_msgs/Range``.

    Raises
    ------
    LnnError
        When its angle or its range is none.
    """
    near, far = _reach(message, least="min_range", most="max_range")
    return from_range(float(message.range), float(message.field_of_view), near, far)


def depth_points(message: Any, k: tuple[float, ...] | None, near: float,
                 far: float) -> tuple[Points, float]:
    """Decode a depth ``sensor_msgs/Image`` (REP-118: 32FC1 in metres, 16UC1 in millimetres).

    Parameters
    ----------
    message : sensor_msgs/Image
        In its optical frame.
    k : tuple of 9 float, or None
        K of the camera info, row by row; None before it has come.
    near, far : float
        What the camera can measure, m.

    Raises
    ------
    LnnError
        When it is no such picture, or what the camera sees is not known.
    """
    if k is None:
        raise LnnError("no camera info of the depth camera has come: expected one on depth_info")
    height, width, step = int(message.height), int(message.width), int(message.step)
    kind = _DEPTHS.get(str(message.encoding))
    if kind is None:
        raise LnnError(f"depth image has the encoding {str(message.encoding)[:40]!r}: expected "
                       f"one of {', '.join(_DEPTHS)}")
    code, size = kind
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE and step >= width * size
            and len(message.data) == height * step):
        raise LnnError(f"depth image of {width}x{height} pixels, {step} bytes a row, has "
                       f"{len(message.data)} bytes: expected height times step, and rows of "
                       f"{size} bytes a pixel")
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    pixels = np.ascontiguousarray(rows[:, :width * size])
    picture = pixels.view((">" if message.is_bigendian else "<") + code)
    return from_depth(picture, (k[0], k[4]), (k[2], k[5]), near, far)


def cloud_points(message: Any) -> tuple[Points, float]:
    """Decode a ``sensor_msgs/PointCloud2``, whatever else its points carry.

    By ``sensor_msgs_py`` where it is installed, once the sizes have been checked.

    Raises
    ------
    LnnError
        When it has no x, y and z of floating point, or is not as long as it says.
    """
    height, width = int(message.height), int(message.width)
    step, row = int(message.point_step), int(message.row_step)
    count = height * width
    fields = {str(f.name): (int(f.offset), _FLOATS.get(int(f.datatype))) for f in message.fields}
    xyz = [fields.get(name, (0, None)) for name in "xyz"]
    ends = [offset + kind[1] for offset, kind in xyz if kind is not None and offset >= 0]
    if len(ends) != 3 or max(ends) > step:
        raise LnnError(f"cloud has the fields {', '.join(list(fields)[:8]) or 'none'} in points of "
                       f"{step} bytes: expected x, y and z of floating point in each")
    if not (0 <= count <= MAX_POINTS and row >= width * step
            and len(message.data) == height * row):
        raise LnnError(f"cloud of {width}x{height} points of {step} bytes, {row} a row, has "
                       f"{len(message.data)} bytes: expected height times row_step")
    if count == 0:
        return from_cloud(np.empty((0, 3)))
    if _read_points is not None and row == width * step:
        found = _read_points(message, field_names=("x", "y", "z"), skip_nans=False)
        return from_cloud(np.stack([found[name].ravel().astype(np.float64) for name in "xyz"], -1))
    order = ">" if message.is_bigendian else "<"
    layout = np.dtype({"names": list("xyz"), "offsets": [offset for offset, _ in xyz],
                       "formats": [order + kind[0] for _, kind in xyz if kind is not None],
                       "itemsize": step})
    data = np.frombuffer(message.data, np.uint8).reshape(height, row)[:, :width * step]
    points = np.ascontiguousarray(data).view(layout).ravel()
    return from_cloud(np.stack([points[name].astype(np.float64) for name in "xyz"], -1))


def _reach(message: Any, least: str = "range_min", most: str = "range_max") -> tuple[float, float]:
    near, far = float(getattr(message, least)), float(getattr(message, most))
    # A far end of infinity is what some drivers say; a near end that is none says nothing.
    if not 0.0 <= near < far or math.isinf(near):
        raise LnnError(f"{least} is {near} and {most} is {far}: expected 0 or more, and more than "
                       f"that")
    return near, far


def _find_reader() -> Any:
    try:
        from sensor_msgs_py.point_cloud2 import read_points  # type: ignore[import-not-found]
    except ImportError:
        return None
    return read_points


_read_points = _find_reader()


def sensor_k(message: Any) -> tuple[float, ...]:
    """Return K of a ``sensor_msgs/CameraInfo``, row by row.

    Raises
    ------
    LnnError
        When the camera is not calibrated.
    """
    k: NDArray[np.float64] = np.asarray(message.k, np.float64)
    if not np.isfinite(k).all() or not (k[0] > 0.0 and k[4] > 0.0):
        raise LnnError(f"camera info of the depth camera has K {k.tolist()}: expected focal "
                       f"lengths > 0 and finite numbers")
    return tuple(float(v) for v in k)
