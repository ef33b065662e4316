"""Message <-> arrays, duck-typed: takes rclpy's and rosbags' message objects, imports neither.

Decoding never guesses: what cannot be read in exactly one way raises an :class:`LnnError` whose
sentence names the topic's kind, what was found and what was expected. Encoding fills a message that
the caller made, because only the caller knows which library's class it wants.

Frames and units are those of REP-103 and REP-105: metres, seconds, radians; x forward, y left, z up
in the body frame. Stamps are integer nanoseconds.
"""

from __future__ import annotations

import array
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import CameraModel
from lnn_ros.images import ENCODINGS, MAX_SIDE, image_array, image_view

__all__ = [
    "ENCODINGS", "MAX_SIDE", "NS_PER_S", "Pose", "angles", "camera_model", "command_vector",
    "fill_camera_info", "fill_command", "fill_image", "fill_imu", "fill_odometry", "image_array",
    "image_view", "imu_vector", "odometry_pose", "quaternion", "set_time", "stamp_ns", "time_ns",
    "twist_vector", "vehicle_state",
]

NS_PER_S = 1_000_000_000


def time_ns(time: Any) -> int:
    """Return a ``builtin_interfaces/Time`` as integer nanoseconds.

    Parameters
    ----------
    time : builtin_interfaces/Time
        With ``sec`` and ``nanosec``.
    """
    return int(time.sec) * NS_PER_S + int(time.nanosec)


def stamp_ns(message: Any) -> int:
    """Return the stamp of a message with a header, in nanoseconds.

    Raises
    ------
    LnnError
        When the stamp is zero ("no stamp" in ROS), negative, or has a second of nanoseconds or
        more.
    """
    stamp = message.header.stamp
    nanoseconds = time_ns(stamp)
    if not 0 <= int(stamp.nanosec) < NS_PER_S or nanoseconds <= 0:
        raise LnnError(f"stamp is {int(stamp.sec)} s {int(stamp.nanosec)} ns: expected the time of "
                       f"measurement, later than zero")
    return nanoseconds


def set_time(time: Any, nanoseconds: int) -> None:
    """Fill a ``builtin_interfaces/Time`` from integer nanoseconds."""
    time.sec, time.nanosec = divmod(int(nanoseconds), NS_PER_S)


def imu_vector(message: Any) -> NDArray[np.float64]:
    """Decode a ``sensor_msgs/Imu``.

    Returns
    -------
    ndarray (6,)
        Angular rate (rad/s), then specific force (m/s^2), in the message's frame.

    Raises
    ------
    LnnError
        When a value is not finite, or when the message says that it measures one of the two not at
        all (first element of its covariance is -1).
    """
    rate, force = message.angular_velocity, message.linear_acceleration
    vector = np.array((rate.x, rate.y, rate.z, force.x, force.y, force.z), np.float64)
    if not np.isfinite(vector).all():
        raise LnnError(f"IMU reads {vector.tolist()}: expected finite numbers")
    for name in ("angular_velocity", "linear_acceleration"):
        if getattr(message, f"{name}_covariance")[0] == -1.0:
            raise LnnError(f"IMU says that it has no {name} (covariance[0] is -1): expected both "
                           f"angular_velocity and linear_acceleration")
    return vector


def camera_model(message: Any) -> CameraModel:
    """Decode a ``sensor_msgs/CameraInfo``.

    It describes the camera's raw image: K and D are read; R and P describe a rectified image, which
    is not what this package takes, and are ignored.

    Raises
    ------
    LnnError
        When the camera is not calibrated (K is zero), the calibration is of another size than the
        image (binning, or a region of interest that is not the whole image), or
        :class:`~lnn_ros.geometry.CameraModel` refuses the numbers.
    """
    width, height, region = int(message.width), int(message.height), message.roi
    k = tuple(float(v) for v in message.k)
    if not any(k):
        raise LnnError("camera info has K of zeros, which says that the camera is not calibrated: "
                       "expected a calibration, or the parameter for the field of view instead")
    if max(int(message.binning_x), int(message.binning_y)) > 1:
        raise LnnError(f"camera info has binning {message.binning_x}x{message.binning_y}: expected "
                       f"none, with a calibration of the image as it is published")
    part = tuple(int(v) for v in (region.x_offset, region.y_offset, region.width, region.height))
    if part not in ((0, 0, 0, 0), (0, 0, width, height)):
        raise LnnError(f"camera info has the region of interest x {part[0]}, y {part[1]}, "
                       f"{part[2]}x{part[3]} pixels: expected none, with a calibration of the "
                       f"image as it is published")
    return CameraModel(width, height, k, tuple(float(v) for v in message.d),
                       str(message.distortion_model))


def command_vector(message: Any) -> NDArray[np.float64]:
    """Decode a velocity command, ``geometry_msgs/TwistStamped``.

    Returns
    -------
    ndarray (4,)
        vx, vy, vz (m/s) and yaw rate (rad/s), levelled body frame.

    Raises
    ------
    LnnError
        When a value is not finite.
    """
    return twist_vector(message.twist)


def twist_vector(twist: Any) -> NDArray[np.float64]:
    """Decode the ``geometry_msgs/Twist`` of a velocity command: see ``command_vector``."""
    linear, angular = twist.linear, twist.angular
    vector = np.array((linear.x, linear.y, linear.z, angular.z), np.float64)
    if not np.isfinite(vector).all():
        raise LnnError(f"command is {vector.tolist()}: expected finite numbers")
    return vector


class Pose(NamedTuple):
    """Where a body is, and how it is turned.

    Attributes
    ----------
    position : tuple of 3 float
        m, in the odometry's frame.
    roll, pitch, yaw : float
        rad: turned by yaw about z, then by pitch about y (down is positive), then by roll about x.
    """

    position: tuple[float, float, float]
    roll: float
    pitch: float
    yaw: float


def odometry_pose(message: Any) -> Pose:
    """Decode the pose of a ``nav_msgs/Odometry``.

    Raises
    ------
    LnnError
        When a number is not finite, or the orientation is no unit quaternion.
    """
    place, q = message.pose.pose.position, message.pose.pose.orientation
    position = float(place.x), float(place.y), float(place.z)
    if not all(map(math.isfinite, position)):
        raise LnnError(f"odometry is at {position}: expected finite numbers")
    return Pose(position, *angles("odometry", (float(q.w), float(q.x), float(q.y), float(q.z))))


def odometry_motion(message: Any) -> NDArray[np.float64]:
    """Decode the motion of a ``nav_msgs/Odometry``: vx, vy, vz (m/s) and yaw rate (rad/s), body.

    Raises
    ------
    LnnError
        When a number is not finite.
    """
    return twist_vector(message.twist.twist)


def angles(what: str, orientation: tuple[float, float, float, float]
           ) -> tuple[float, float, float]:
    """Return roll, pitch and yaw (rad, as in ``Pose``) of a quaternion w, x, y, z.

    Parameters
    ----------
    what : str
        What is turned by it, for the sentence.
    orientation : tuple of 4 float
        Of length 1.

    Raises
    ------
    LnnError
        When it is no unit quaternion.
    """
    w, x, y, z = orientation
    if not 0.98 < w * w + x * x + y * y + z * z < 1.02:
        raise LnnError(f"{what} is turned by the quaternion {orientation}: expected one of "
                       f"length 1")
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(min(max(2.0 * (w * y - z * x), -1.0), 1.0))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return roll, pitch, yaw


_WORDS = {"true": True, "false": False, "": None}


def vehicle_state(message: Any) -> tuple[bool | None, bool | None]:
    """Decode what a vehicle says of itself, a ``diagnostic_msgs/DiagnosticStatus``.

    Returns
    -------
    airborne, velocity_mode : bool or None
        Its key-values of these names, "true" or "false"; None where it says neither.

    Raises
    ------
    LnnError
        When a word is another.
    """
    said = {str(pair.key): str(pair.value) for pair in message.values}
    found = [said.get(name, "").lower() for name in ("airborne", "velocity_mode")]
    for word in found:
        if word not in _WORDS:
            raise LnnError(f"the vehicle says airborne {found[0][:20]!r} and velocity_mode "
                           f"{found[1][:20]!r}: expected true, false or nothing")
    return _WORDS[found[0]], _WORDS[found[1]]


def fill_command(message: Any, command: NDArray[np.float64], at_ns: int, frame: str) -> None:
    """Write a velocity command into a ``geometry_msgs/TwistStamped``.

    Parameters
    ----------
    message : geometry_msgs/TwistStamped
        To fill.
    command : ndarray (4,)
        vx, vy, vz (m/s) and yaw rate (rad/s), levelled body frame.
    at_ns : int
        Instant that the command is for, ns.
    frame : str
        Name of the body frame.
    """
    set_time(message.header.stamp, at_ns)
    message.header.frame_id = frame
    linear, angular = message.twist.linear, message.twist.angular
    linear.x, linear.y, linear.z = (float(v) for v in command[:3])
    angular.z = float(command[3])


def fill_image(message: Any, image: NDArray[Any], at_ns: int, frame: str) -> None:
    """Write an RGB image (H, W, 3) into a ``sensor_msgs/Image`` as rgb8."""
    set_time(message.header.stamp, at_ns)
    message.header.frame_id = frame
    message.height, message.width = image.shape[:2]
    message.encoding, message.is_bigendian, message.step = "rgb8", 0, image.shape[1] * 3
    # rclpy checks every element of anything but an array.array of the right type.
    message.data = array.array("B", image.tobytes())


def fill_imu(message: Any, reading: NDArray[Any], at_ns: int, frame: str) -> None:
    """Write angular rate and specific force (6,) into a ``sensor_msgs/Imu``; no orientation."""
    set_time(message.header.stamp, at_ns)
    message.header.frame_id = frame
    message.orientation_covariance[0] = -1.0  # "no orientation", as sensor_msgs/Imu has it
    rate, force = message.angular_velocity, message.linear_acceleration
    rate.x, rate.y, rate.z = (float(v) for v in reading[:3])
    force.x, force.y, force.z = (float(v) for v in reading[3:])


def fill_odometry(message: Any, position: NDArray[np.float64], rotation: NDArray[np.float64],
                  velocity: NDArray[np.float64], rates: NDArray[np.float64], at_ns: int,
                  frame: str, child: str) -> None:
    """Write a pose and a twist into a ``nav_msgs/Odometry``.

    Parameters
    ----------
    message : nav_msgs/Odometry
        To fill.
    position : ndarray (3,)
        Metres, in ``frame``.
    rotation : ndarray (3, 3)
        From ``child`` to ``frame``.
    velocity, rates : ndarray (3,)
        Velocity (m/s) and angular rate (rad/s), both in ``child``, as the message wants it.
    at_ns : int
        Stamp, ns.
    frame, child : str
        Names of the frames.
    """
    set_time(message.header.stamp, at_ns)
    message.header.frame_id, message.child_frame_id = frame, child
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = (float(v) for v in position)
    q = pose.orientation
    q.w, q.x, q.y, q.z = quaternion(rotation)
    twist.linear.x, twist.linear.y, twist.linear.z = (float(v) for v in velocity)
    twist.angular.x, twist.angular.y, twist.angular.z = (float(v) for v in rates)


def quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the unit quaternion (w, x, y, z), w >= 0, of a rotation matrix (3, 3).

    Shepperd's method (Journal of Guidance and Control 1, 1978): divide by the largest component,
    which is never small.
    """
    m = np.asarray(rotation, np.float64)
    trace = float(np.trace(m))
    squares = (trace, float(m[0, 0]), float(m[1, 1]), float(m[2, 2]))
    largest = int(np.argmax(squares))
    if largest == 0:
        q = [1.0 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        q = [m[k, j] - m[j, k], 0.0, 0.0, 0.0]
        q[1 + i] = 1.0 + m[i, i] - m[j, j] - m[k, k]
        q[1 + j] = m[j, i] + m[i, j]
        q[1 + k] = m[k, i] + m[i, k]
    norm = math.copysign(math.sqrt(sum(float(v) ** 2 for v in q)), q[0])
    w, x, y, z = (float(v) / norm for v in q)
    return w, x, y, z


def fill_camera_info(message: Any, width: int, height: int, focal: float, at_ns: int,
                     frame: str) -> None:
    """Write an ideal pinhole camera into a ``sensor_msgs/CameraInfo``.

    Parameters
    ----------
    message : sensor_msgs/CameraInfo
        To fill.
    width, height : int
        Image size, pixels.
    focal : float
        Focal length, pixels; the optical axis passes through the middle of the image.
    at_ns : int
        Stamp, ns.
    frame : str
        Name of the camera's frame.
    """
    set_time(message.header.stamp, at_ns)
    message.header.frame_id = frame
    message.width, message.height = width, height
    message.distortion_model, message.d = "plumb_bob", array.array("d", (0.0,) * 5)
    # Pixel centres have whole coordinates, so that the middle of the image is at (n - 1) / 2.
    cx, cy = (width - 1) / 2.0, (height - 1) / 2.0
    message.k[:] = np.array((focal, 0, cx, 0, focal, cy, 0, 0, 1), np.float64)
    message.r[:] = np.array((1, 0, 0, 0, 1, 0, 0, 0, 1), np.float64)
    message.p[:] = np.array((focal, 0, cx, 0, 0, focal, cy, 0, 0, 0, 1, 0), np.float64)
