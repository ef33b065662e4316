"""The short way between serialized messages and values, for what comes and goes at every tick.

rclpy makes a message object first, attribute by attribute: for an IMU sample thirty numbers and
three arrays of covariances, which takes longer than what the pilot does with it; for an image two
more copies of its pixels. What is read here is only what has exactly the expected layout and is
good; anything else is left to rclpy, and to the sentences that say what is wrong with it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnn_ros.messages import NS_PER_S

_HEADER = 4  # bytes: how the payload is encoded, before the message; alignment counts from its end
_FIXED = 12  # seconds, nanoseconds and the length of the frame's name
_LEAST = _HEADER + _FIXED
# Orientation, angular velocity, linear acceleration, each with nine covariances: of the last two
# the vector and the first covariance.
_BODY = {1: struct.Struct("<104x4d64x4d64x"), 0: struct.Struct(">104x4d64x4d64x")}
_FRONT = {1: struct.Struct("<iII"), 0: struct.Struct(">iII")}
_LITTLE = bytes((0, 1, 0, 0))  # how a payload is encoded that is written here
_SIZE = {1: struct.Struct("<III"), 0: struct.Struct(">III")}  # and the length of the encoding
_STEP = {1: struct.Struct("<II"), 0: struct.Struct(">II")}  # and the number of bytes


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
    wx, wy, wz, no_rate, fx, fy, fz, no_force = _BODY[order].unpack_from(payload, body)
    stamp = seconds * NS_PER_S + nanoseconds
    # A sum is not finite if a number is not (or all are huge: the long way finds out).
    if (nanoseconds >= NS_PER_S or stamp <= 0 or no_rate == -1.0 or no_force == -1.0
            or not math.isfinite(wx + wy + wz + fx + fy + fz)):
        return None
    return stamp, np.array((wx, wy, wz, fx, fy, fz))


class Stamp(NamedTuple):
    """What ``builtin_interfaces/Time`` holds."""

    sec: int
    nanosec: int


class Header(NamedTuple):
    """What is read of a ``std_msgs/Header``."""

    stamp: Stamp


class RawImage(NamedTuple):
    """What ``messages`` asks of a ``sensor_msgs/Image``; the pixels are still in the payload."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def raw_image(payload: bytes) -> RawImage | None:
    """Read a serialized ``sensor_msgs/Image`` (plain CDR, either byte order), good or bad.

    None for a payload that has not exactly the length that it says, or words that are no names.
    """
    if len(payload) < _LEAST or payload[0] != 0 or payload[1] > 1:
        return None
    order = payload[1]
    seconds, nanoseconds, name = _FRONT[order].unpack_from(payload, _HEADER)
    size = _aligned(_LEAST + name)
    if len(payload) < size + _SIZE[order].size:
        return None
    height, width, letters = _SIZE[order].unpack_from(payload, size)
    begin = size + _SIZE[order].size
    end = begin + letters
    step = _aligned(end + 1)  # behind the byte that says how pixels are ordered
    if len(payload) < step + _STEP[order].size:
        return None
    row, count = _STEP[order].unpack_from(payload, step)
    pixels = step + _STEP[order].size
    word = payload[begin:end]
    if len(payload) - pixels - count not in range(4) or word.find(b"\0") != letters - 1:
        return None
    if not word.isascii():
        return None
    return RawImage(Header(Stamp(seconds, nanoseconds)), height, width, word[:-1].decode(),
                    payload[end], row, memoryview(payload)[pixels:pixels + count])


def _aligned(place: int) -> int:
    """Place of the next number of four bytes; the header of a payload is as long as one."""
    return (place + 3) // 4 * 4


def twist_stamped(at_ns: int, frame: str, command: Iterable[float]) -> bytes:
    """Serialize a velocity command as ``geometry_msgs/TwistStamped``: ``messages.fill_command``."""
    x, y, z, turn = command
    head = struct.pack("<iI", *divmod(at_ns, NS_PER_S)) + _string(frame)
    twist = struct.pack("<6d", x, y, z, 0.0, 0.0, turn)
    return b"".join((_LITTLE, head, bytes(-len(head) % 8), twist))


def diagnostic_array(at_ns: int, name: str, values: Mapping[str, object]) -> bytes:
    """Serialize a ``diagnostic_msgs/DiagnosticArray`` of one status: ``diagnostics.status``.

    Its level is OK, and its message empty.
    """
    pieces = [_LITTLE, struct.pack("<iI", *divmod(at_ns, NS_PER_S)), _string(""), _ONE, _OK,
              _string(name), _string(""), _string(""), len(values).to_bytes(4, "little")]
    for key, value in values.items():
        pieces += (_string(key), _text("" if value is None else str(value)))
    return b"".join(pieces)


def _text(text: str) -> bytes:
    """Serialize a string, and what aligns the number behind it."""
    data = text.encode()
    size = len(data) + 1
    return size.to_bytes(4, "little") + data + _ENDS[size % 4]


_string = lru_cache(maxsize=256)(_text)  # for names, which come again and again
_ENDS = (bytes(1), bytes(4), bytes(3), bytes(2))  # of a string, by its length with one zero
_ONE, _OK = (1).to_bytes(4, "little"), bytes(4)  # one status; its level, and what aligns its name
