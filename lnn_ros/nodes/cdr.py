"""An IMU sample straight from its serialized message.

rclpy builds a message object of thirty numbers and three arrays of covariances first, which takes
longer than what the pilot does with the sample, 200 times a second and more. Only what has exactly
the expected layout and is good is read here; anything else is left to rclpy, and to the sentences
that say what is wrong with it.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from lnn_ros.messages import NS_PER_S

_HEADER = 4  # bytes: how the payload is encoded, before the message; alignment counts from its end
_FIXED = 12  # seconds, nanoseconds and the length of the frame's name
_LEAST = _HEADER + _FIXED
# Orientation, angular velocity, linear acceleration, each with nine covariances.
_BODY = {1: struct.Struct("<37d"), 0: struct.Struct(">37d")}
_FRONT = {1: struct.Struct("<iII"), 0: struct.Struct(">iII")}
_RATE, _RATE_COVARIANCE, _FORCE, _FORCE_COVARIANCE = 13, 16, 25, 28


def imu_sample(payload: bytes) -> tuple[int, NDArray[np.float64]] | None:
    """Read a serialized ``sensor_msgs/Imu`` (plain CDR, either byte order).

    Returns
    -------
    tuple or None
        Stamp (ns), and what ``messages.imu_vector`` returns; None for a payload that is not
        exactly so long, or a sample that the decoders of ``messages`` refuse.
    """
    if len(payload) < _LEAST or payload[0] != 0 or payload[1] > 1:
        return None
    order = payload[1]
    seconds, nanoseconds, name = _FRONT[order].unpack_from(payload, _HEADER)
    body = _HEADER + (_FIXED + name + 7) // 8 * 8
    if len(payload) != body + _BODY[order].size:
        return None
    numbers = _BODY[order].unpack_from(payload, body)
    vector = numbers[_RATE:_RATE + 3] + numbers[_FORCE:_FORCE + 3]
    if (not 0 <= nanoseconds < NS_PER_S or seconds < 0 or (seconds, nanoseconds) == (0, 0)
            or -1.0 in (numbers[_RATE_COVARIANCE], numbers[_FORCE_COVARIANCE])
            or not all(map(math.isfinite, vector))):
        return None
    return seconds * NS_PER_S + nanoseconds, np.array(vector)
