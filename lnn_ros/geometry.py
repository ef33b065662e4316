"""Where sensors look: mountings, the camera that a policy was trained with, and real cameras.

Frames are those of REP-103: a sensor's frame has x along what it looks at, y left and z up. This is
the *body* frame of a camera, not its optical frame (z forward). Rotations are roll, pitch and yaw
about x, y and z: a camera with positive pitch looks down, with positive yaw it looks left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError

_MAX_SIDE = 1024  # of a virtual camera, pixels
_LARGEST = 1e6  # of a camera info's numbers: nothing made of them overflows
_DISTORTIONS = {"plumb_bob": (4, 5), "rational_polynomial": (8,), "equidistant": (4,)}

Array = NDArray[np.float64]


def _check(name: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise LnnError(f"{name} is {value!r}: expected a number in [{low:.6g}, {high:.6g}]")
    return float(value)


def _check_pixels(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise LnnError(f"{name} is {value!r}: expected a whole number of pixels from 1 to {most}")


@dataclass(frozen=True)
class Mounting:
    """How a sensor is turned against ``base_link``.

    Attributes
    ----------
    roll, pitch, yaw : float
        Of the sensor's frame in ``base_link``, rad: first the roll about x, then the pitch about y
        (positive looks down), then the yaw about z (positive looks left), all about the fixed axes
        of ``base_link``, as the ``rpy`` of a URDF joint.

    Raises
    ------
    LnnError
        When an angle is not in [-2 pi, 2 pi].
    """

    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        for name in ("roll", "pitch", "yaw"):
            _check(f"mounting {name}", getattr(self, name), -2 * math.pi, 2 * math.pi)

    @cached_property
    def rotation(self) -> Array:
        """base_from_sensor (3, 3)."""
        # Rounded, so that quarter turns are exact and the last bit of a library's cosine, which
        # differs between CPUs, does not count.
        (cr, sr), (cp, sp), (cy, sy) = (
            (round(math.cos(angle), 12), round(math.sin(angle), 12))
            for angle in (self.roll, self.pitch, self.yaw)
        )
        return np.array(
            [
                [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
                [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
                [-sp, cp * sr, cp * cr],
            ]
        )

    @cached_property
    def _rows(self) -> list[list[float]] | None:
        return None if self == LEVEL else self.rotation.tolist()

    def rotate_imu(self, vector: Array) -> Array:
        """Turn a sample of an IMU that is mounted like this into ``base_link``.

        Parameters
        ----------
        vector : ndarray (6,)
            Angular rate (rad/s), then specific force (m/s^2), in the IMU's frame. Where the IMU
            sits does not count: the force of turning about another point is not taken out.

        Returns
        -------
        ndarray (6,)
            Both in ``base_link``; the vector itself where nothing is turned.
        """
        rows = self._rows
        if rows is None:
            return vector
        # In Python's floats: the same bits on every machine, and faster than two small products.
        a, b, c, d, e, f = vector.tolist()
        return np.array(
            [x * a + y * b + z * c for x, y, z in rows]
            + [x * d + y * e + z * f for x, y, z in rows]
        )


LEVEL = Mounting()
"""Of a sensor whose frame is turned as ``base_link`` is."""


@dataclass(frozen=True)
class VirtualCamera:
    """The pinhole camera that a policy was trained with.

    Attributes
    ----------
    width, height : int
        Pixels; they are square, and the optical axis passes through the middle of the image.
    horizontal_fov : float
        Angle of view across the width, rad, from the left edge to the right.
    tilt : float
        Rotation about the y axis of ``base_link``, rad; positive looks down.
    channels : int
        3: RGB. 1: grey.

    Raises
    ------
    LnnError
        When a value is out of range.
    """

    width: int
    height: int
    horizontal_fov: float
    tilt: float = 0.0
    channels: int = 3

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            _check_pixels(f"{name} of the policy's camera", getattr(self, name), _MAX_SIDE)
        _check("horizontal_fov of the policy's camera", self.horizontal_fov, 0.01, math.pi - 0.01)
        _check("tilt of the policy's camera", self.tilt, -math.pi, math.pi)
        if self.channels not in (1, 3):
            raise LnnError(
                f"channels of the policy's camera are {self.channels!r}: expected 1 or 3"
            )

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> VirtualCamera:
        """Return the camera that the card of a checkpoint states.

        Raises
        ------
        LnnError
            When it is not a pinhole camera, or a value is missing or out of range.
        """
        camera = card["camera"]
        if camera.get("model") != "pinhole":
            raise LnnError(
                f"model of the policy's camera is {camera.get('model')!r}: expected 'pinhole'"
            )
        return cls(
            camera.get("width"),
            camera.get("height"),
            camera.get("horizontal_fov"),
            camera.get("tilt"),
            card["streams"]["camera"]["shape"][2],
        )

    def rays(self, rows: Array, columns: Array) -> Array:
        """Return the directions, in ``base_link``, of points of the image.

        Parameters
        ----------
        rows, columns : ndarray (...)
            Pixels from the upper left corner of the image: the first pixel's centre is at 0.5.

        Returns
        -------
        ndarray (..., 3)
            Of any length; 1 along the optical axis.
        """
        focal = _focal(self.width, self.horizontal_fov)
        left, up = (self.width / 2 - columns) / focal, (self.height / 2 - rows) / focal
        rays = np.stack(np.broadcast_arrays(1.0, left, up), axis=-1)
        return rays @ Mounting(pitch=self.tilt).rotation.T


def _focal(width: int, horizontal_fov: float) -> float:
    """Focal length in pixels; rounded as the simulator's, which it has to equal."""
    return width / 2 / round(math.tan(horizontal_fov / 2), 12)


@dataclass(frozen=True)
class CameraModel:
    """A real camera: from directions to pixels, with its lens' distortion.

    Attributes
    ----------
    width, height : int
        Size of its image, pixels.
    k : tuple of 9 float
        Camera matrix, row by row, pixels; the centre of the first pixel is at (0, 0).
    d : tuple of float
        Distortion: for plumb_bob k1, k2, p1, p2 and, if there, k3; for rational_polynomial then
        k4, k5, k6 (D. C. Brown, Photogrammetric Engineering 32, 1966, as OpenCV writes it); for
        equidistant k1 to k4 (Kannala and Brandt, IEEE Transactions on Pattern Analysis and Machine
        Intelligence 28, 2006). Empty, or all zeros: none.
    distortion : str
        ``plumb_bob``, ``rational_polynomial`` or ``equidistant``; anything where ``d`` is empty.

    Raises
    ------
    LnnError
        When a number is not finite or out of range, or the distortion is unknown.
    """

    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...] = ()
    distortion: str = "plumb_bob"

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            _check_pixels(f"{name} of the camera info", getattr(self, name), 2**16)
        numbers = (*self.k, *self.d)
        if len(self.k) != 9 or len(self.d) > 14 or not all(abs(v) <= _LARGEST for v in numbers):
            raise LnnError(
                f"camera info has K {list(self.k[:9])} and D {list(self.d[:14])}: expected nine "
                f"numbers and at most fourteen, each up to {_LARGEST:g}"
            )
        if not min(self.k[0], self.k[4]) >= 1e-3 or (
            (self.k[3], *self.k[6:]) != (0.0, 0.0, 0.0, 1.0)
        ):
            raise LnnError(
                f"camera info has K {list(self.k)}: expected [fx, s, cx, 0, fy, cy, 0, 0, 1] with "
                f"positive focal lengths in pixels"
            )
        counts = _DISTORTIONS.get(self.distortion)
        if self.distortion == "equidistant" and not self.d:
            counts = (0,)  # a fisheye lens exactly as Kannala and Brandt's first term has it
        if (any(self.d) or self.distortion == "equidistant") and (
            counts is None or len(self.d) not in counts
        ):
            raise LnnError(
                f"camera info has distortion {self.distortion[:40]!r} with {len(self.d)} "
                f"coefficients: expected plumb_bob with 4 or 5, rational_polynomial with 8 or "
                f"equidistant with 4"
            )

    @classmethod
    def pinhole(cls, width: int, height: int, horizontal_fov: float) -> CameraModel:
        """Return a camera without distortion from its field of view across the width, rad.

        Pixels are square, and the optical axis passes through the middle of the image.
        """
        _check("horizontal field of view", horizontal_fov, 0.01, math.pi - 0.01)
        _check_pixels("width of the image", width, 2**16)
        focal = _focal(width, horizontal_fov)
        k = (focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0)
        return cls(width, height, k)

    def project(self, rays: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Find the pixels on which directions are seen.

        Parameters
        ----------
        rays : ndarray (..., 3)
            In the camera's frame, x forward, of any length.

        Returns
        -------
        rows, columns : ndarray (...)
            Pixels; the centre of the first one is at 0. For a direction that the model does not
            cover, those of the last direction towards it that it does.
        covered : ndarray (...) of bool
            Whether the lens' model holds there: in front of a lens other than equidistant, and not
            beyond where the distortion would fold back. The pixel may still be outside the image.
        """
        x, y, z = -rays[..., 1], -rays[..., 2], rays[..., 0]  # optical: right, down, forward
        across = np.hypot(x, y)
        angle = np.arctan2(across, z)
        last = self._last_angle
        within = np.minimum(angle, last)
        radius = within if self.distortion == "equidistant" else np.tan(within)
        scale = radius / np.where(across > 0.0, across, 1.0)
        x, y = x * scale, y * scale
        factor = self._radial(radius)
        shift_x, shift_y = 0.0 * x, 0.0 * y
        if self.distortion != "equidistant" and any(self.d):
            p1, p2, square = self.d[2], self.d[3], radius * radius
            shift_x = 2 * p1 * x * y + p2 * (square + 2 * x * x)
            shift_y = 2 * p2 * x * y + p1 * (square + 2 * y * y)
        x, y = x * factor + shift_x, y * factor + shift_y
        fx, skew, cx, _, fy, cy = self.k[:6]
        return fy * y + cy, fx * x + skew * y + cx, angle <= last

    def _radial(self, radius: Array) -> Array:
        """Distorted radius over undistorted (for equidistant: over the angle)."""
        square = radius * radius
        if not any(self.d):
            return np.ones_like(radius)
        if self.distortion == "equidistant":
            k1, k2, k3, k4 = self.d
            return 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
        k1, k2, _, _, k3, k4, k5, k6 = (*self.d, *(0.0,) * (8 - len(self.d)))
        return (1 + square * (k1 + square * (k2 + square * k3))) / (
            1 + square * (k4 + square * (k5 + square * k6))
        )

    @cached_property
    def _last_angle(self) -> float:
        """Angle off the axis, rad, up to which the model holds and beyond which nothing is seen.

        The polynomials were fitted inside the image. Outside it they may turn back, and show what
        lies far to the side in the middle of the picture.
        """
        fisheye = self.distortion == "equidistant"
        angles = np.linspace(0.0, math.pi if fisheye else math.pi / 2, 2**14, endpoint=False)
        radius = angles if fisheye else np.tan(angles)
        with np.errstate(all="ignore"):  # a pole of the rational polynomial
            reached = radius * self._radial(radius)
            grows = np.diff(reached) > 0.0
        fx, skew, cx, _, fy, cy = self.k[:6]
        corners = []
        for row in (-0.5, self.height - 0.5):
            y = (row - cy) / fy
            corners += [
                math.hypot((column - cx - skew * y) / fx, y) for column in (-0.5, self.width - 0.5)
            ]
        # Twice as far as the corners, so that tangential distortion can reach them from there.
        good = grows & (reached[1:] < 2 * max(corners))
        return float(angles[len(good) if good.all() else int(np.argmin(good))])
