"""Cut the streams into intervals: each frame closes one, with the inertial data up to its stamp.

In this version streams are taken in order; what comes late is dropped and counted.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.timeline.preintegration import Summary, Vector, hold

MAX_HOLD_NS = 50_000_000
"""An inertial sample speaks for at most this long; a longer gap is seen as missing coverage."""
MAX_WAITING = 4096
"""Inertial samples kept while no frame comes; beyond it the oldest go and are counted."""
MAX_RATE, MAX_FORCE = 100.0, 1000.0
"""rad/s and m/s^2 per axis; more is no measurement of a vehicle (gyroscopes end at 70 rad/s)."""
NS = 1e-9

_IMU_LIMITS = np.array([MAX_RATE] * 3 + [MAX_FORCE] * 3)
_END_NS = 2**63  # of what a stamp of 64 bits can say


@dataclass(frozen=True)
class Interval:
    """What the network sees between two updates.

    Attributes
    ----------
    stamp_ns : int
        Its end, the frame's stamp.
    dt : float
        Its length, seconds.
    frame : ndarray of uint8, shape (H, W, 3)
        The frame at its end.
    summary : ndarray of float32, shape (9,)
        ``liquid.spec.SUMMARY``: mean angular rate and specific force over the interval, body frame
        at its end; covered fraction; age of the newest inertial sample (s, at most 1); dt (s).
    """

    stamp_ns: int
    dt: float
    frame: NDArray[np.uint8]
    summary: NDArray[np.float32]


class Intervals:
    """Order the samples and close the intervals; boundaries depend on stamps only.

    Parameters
    ----------
    shape : tuple of 3 int
        Of a frame.
    first_interval : float
        Length in seconds given to the interval before the first frame.
    """

    def __init__(self, shape: tuple[int, int, int], first_interval: float) -> None:
        self._shape = shape
        self._first_ns = round(first_interval * 1e9)
        self.counts: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget all samples; the counts stay."""
        self._waiting: deque[tuple[int, Vector, Vector]] = deque()
        self._held: tuple[int, Vector, Vector] | None = None
        self._camera_ns: int | None = None
        self._imu_ns: int | None = None

    def newest(self) -> dict[str, int | None]:
        """Stamp of the newest sample taken, per stream."""
        return {"camera": self._camera_ns, "imu": self._imu_ns}

    def observe(self, stream: str, stamp_ns: int, value: object) -> tuple[bool, Interval | None]:
        """Take a sample, or drop and count it; return whether it was taken and what it closed.

        Parameters
        ----------
        stream : str
            "camera" or "imu".
        stamp_ns : int
            When it was measured, nanoseconds.
        value : ndarray
            camera: uint8 (H, W, 3); imu: float (6,), angular rate rad/s, specific force m/s^2,
            within ``MAX_RATE`` and ``MAX_FORCE``.
        """
        if stream == "camera":
            reason = self._frame_fault(stamp_ns, value)
        elif stream == "imu":
            reason = self._imu_fault(stamp_ns, value)
        else:
            self.counts["unknown.dropped_stream"] += 1
            return False, None
        self.counts[f"{stream}.{reason or 'accepted'}"] += 1
        if reason:
            return False, None
        assert isinstance(value, np.ndarray)
        if stream == "camera":
            return True, self._close(int(stamp_ns), value)
        self._imu_ns = int(stamp_ns)
        wx, wy, wz, fx, fy, fz = value.tolist()
        self._waiting.append((self._imu_ns, (wx, wy, wz), (fx, fy, fz)))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.counts["imu.dropped_overflow"] += 1
        return True, None

    def _stamp_fault(self, stamp_ns: object, newest: int | None) -> str | None:
        if isinstance(stamp_ns, bool) or not isinstance(stamp_ns, (int, np.integer)):
            return "dropped_stamp"
        if not 0 < stamp_ns < _END_NS:
            return "dropped_stamp"
        if newest is not None and stamp_ns <= newest:
            return "dropped_duplicate" if stamp_ns == newest else "dropped_late"
        return None

    def _frame_fault(self, stamp_ns: object, value: object) -> str | None:
        if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
            return "dropped_dtype"
        if value.shape != self._shape:
            return "dropped_shape"
        return self._stamp_fault(stamp_ns, self._camera_ns)

    def _imu_fault(self, stamp_ns: Any, value: object) -> str | None:
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return "dropped_dtype"
        if value.shape != (6,):
            return "dropped_shape"
        if not np.isfinite(value).all():
            return "dropped_nan"
        # Finite, but one such sample would overflow what is computed from it, and with that the
        # state, for good.
        if (np.abs(value) > _IMU_LIMITS).any():
            return "dropped_range"
        fault = self._stamp_fault(stamp_ns, self._imu_ns)
        # Older than the last frame: its interval is closed. In this version it is too late.
        if fault is None and self._camera_ns is not None and stamp_ns < self._camera_ns:
            return "dropped_late"
        return fault

    def _close(self, stamp_ns: int, frame: NDArray[np.uint8]) -> Interval:
        start = stamp_ns - self._first_ns if self._camera_ns is None else self._camera_ns
        self._camera_ns = stamp_ns
        total = Summary()
        # A sample of the frame's own stamp holds from there on: it belongs to what follows,
        # whichever of the two arrives first.
        while self._waiting and self._waiting[0][0] < stamp_ns:
            following = self._waiting.popleft()
            total = self._extend(total, start, following[0])
            self._held = following
        total = self._extend(total, start, stamp_ns)
        dt = (stamp_ns - start) * NS
        age = 1.0 if self._held is None else min(1.0, (stamp_ns - self._held[0]) * NS)
        rate, force = total.means()
        summary = np.array([*rate, *force, total.time / dt, age, dt], np.float32)
        return Interval(stamp_ns, dt, frame, summary)

    def _extend(self, total: Summary, start: int, end: int) -> Summary:
        """Append the held sample's part inside (start, end]."""
        if self._held is None:
            return total
        stamp, rate, force = self._held
        begin, end = max(start, stamp), min(end, stamp + MAX_HOLD_NS)
        return total.then(hold(rate, force, (end - begin) * NS)) if end > begin else total
