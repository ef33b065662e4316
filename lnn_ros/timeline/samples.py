"""Samples: which are accepted, and how those of one stream lie in order.

Samples have a total order: stamp, then the stream's rank (its place in ``STREAMS``), then the
digest of the content. A stream has one sample a stamp: of two that differ, the one with the larger
digest stays, whichever came first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from enum import Enum
from hashlib import blake2b
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lnn_ros.timeline.preintegration import Vector

STREAMS = ("imu", "camera")
"""Names, in order of rank."""
MAX_RATE, MAX_FORCE = 100.0, 1000.0
"""rad/s and m/s^2 per axis; more is no measurement of a vehicle (gyroscopes end at 70 rad/s)."""

_END_NS = 2**63  # of what a stamp of 64 bits can say

T = TypeVar("T")
Reading = tuple[Vector, Vector]
"""Angular rate (rad/s) and specific force (m/s^2), body frame."""


class Verdict(str, Enum):
    """What became of a sample; true when it was taken."""

    ACCEPTED = "accepted"
    REPLACED = "replaced"  # taken in place of another one of the same stamp
    DUPLICATE = "dropped_duplicate"
    CONFLICT = "dropped_conflict"  # another one of the same stamp stays
    LATE = "dropped_late"  # beyond the horizon
    FUTURE = "dropped_future"
    STAMP = "dropped_stamp"  # no time at all
    DTYPE = "dropped_dtype"
    SHAPE = "dropped_shape"
    NAN = "dropped_nan"
    RANGE = "dropped_range"
    OVERFLOW = "dropped_overflow"  # more than the history holds
    STREAM = "dropped_stream"  # there is no such stream

    def __bool__(self) -> bool:
        return self is Verdict.ACCEPTED or self is Verdict.REPLACED


def digest(stamp_ns: int, value: NDArray[np.generic]) -> int:
    """Return 64 bits that tell one sample's content from another's."""
    stamp = int(stamp_ns).to_bytes(8, "little")
    return int.from_bytes(blake2b(stamp + value.tobytes(), digest_size=8).digest(), "little")


def stamp_fault(stamp_ns: object) -> Verdict | None:
    """Return why something is no stamp, or None."""
    if isinstance(stamp_ns, bool) or not isinstance(stamp_ns, (int, np.integer)):
        return Verdict.STAMP
    return None if 0 < stamp_ns < _END_NS else Verdict.STAMP


def frame_fault(value: object, shape: tuple[int, int, int]) -> Verdict | None:
    """Return why something is no frame of this shape, or None."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        return Verdict.DTYPE
    return None if value.shape == shape else Verdict.SHAPE


def imu_fault(value: object) -> Verdict | None:
    """Return why something is no inertial sample, or None."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return Verdict.DTYPE
    if value.shape != (6,):
        return Verdict.SHAPE
    rate, force = reading(value)
    if _within(rate, MAX_RATE) and _within(force, MAX_FORCE):  # not so if a number is a NaN
        return None
    # Finite or not, one such sample would overflow what is computed from it, and with that the
    # state, for good.
    return Verdict.RANGE if np.isfinite(value).all() else Verdict.NAN


def _within(vector: Vector, limit: float) -> bool:
    x, y, z = vector
    return -limit <= x <= limit and -limit <= y <= limit and -limit <= z <= limit


def reading(value: NDArray[np.floating]) -> Reading:
    """Return an inertial sample (6,) as plain numbers."""
    wx, wy, wz, fx, fy, fz = value.tolist()
    return (wx, wy, wz), (fx, fy, fz)


class Track(Generic[T]):
    """The samples of one stream, in order of their stamps, one a stamp."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.values: list[T] = []

    def __len__(self) -> int:
        return len(self.stamps)

    def find(self, stamp_ns: int) -> T | None:
        """Return the sample of a stamp, if there is one."""
        at = bisect_left(self.stamps, stamp_ns)
        if at < len(self.stamps) and self.stamps[at] == stamp_ns:
            return self.values[at]
        return None

    def put(self, stamp_ns: int, value: T) -> None:
        """Insert a sample, or replace that of the same stamp."""
        at = bisect_left(self.stamps, stamp_ns)
        if at < len(self.stamps) and self.stamps[at] == stamp_ns:
            self.values[at] = value
        else:
            self.stamps.insert(at, stamp_ns)
            self.values.insert(at, value)

    def held(self, stamp_ns: int) -> int:
        """Index of the last sample stamped at or before an instant; -1 if there is none."""
        return bisect_right(self.stamps, stamp_ns) - 1

    def after(self, stamp_ns: int) -> int | None:
        """Stamp of the first sample later than an instant."""
        at = bisect_right(self.stamps, stamp_ns)
        return self.stamps[at] if at < len(self.stamps) else None

    def since(self, stamp_ns: int) -> int | None:
        """Stamp of the first sample at an instant or later."""
        at = bisect_left(self.stamps, stamp_ns)
        return self.stamps[at] if at < len(self.stamps) else None

    def part(self, start_ns: int, end_ns: int) -> Track[T]:
        """Return the samples that matter from one instant to another, ends included.

        The first of them is the one that holds at the beginning, if there is one.
        """
        which = slice(max(self.held(start_ns), 0), self.held(end_ns) + 1)
        part: Track[T] = Track()
        part.stamps, part.values = self.stamps[which], self.values[which]
        return part

    def forget(self, count: int) -> None:
        """Drop the first samples."""
        if count > 0:
            del self.stamps[:count], self.values[:count]
