"""The controller's clocks: which time it is, whether it jumped, and what clock a sensor stamps by.

Time is what the node's clock says: the system's, ``/clock`` with ``use_sim_time``, or in lock-step
each ``/clock`` message that is answered. Whether that clock itself moves is judged by steady time,
and so is, by the system's clock, how long nothing has arrived. With ``/clock`` the latter is judged
by ``/clock``: simulated sensors are as slow as simulated time.
"""

from __future__ import annotations

import time
from enum import Enum

from rclpy.clock import JumpHandle, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

FORWARD_NS = 5_000_000_000
"""Time that goes on by more than this at once has jumped: nothing from before is of use."""
_WINDOW_NS = 5_000_000_000


class Source(Enum):
    """Where the node's time comes from."""

    SYSTEM = "the system's clock"
    SIMULATED = "/clock"
    LOCKSTEP = "/clock, each one answered"


class Clocks:
    """Follow the node's time.

    Parameters
    ----------
    node : Node
        Whose time it is.
    source : Source
        Where it comes from.
    """

    def __init__(self, node: Node, source: Source) -> None:
        self._node, self.source = node, source
        self._jumped_ns: int | None = None
        self._last_ns = 0
        self._steady_ns = self._moved_ns = time.monotonic_ns()
        self._asked_ns = 0
        self._handle: JumpHandle | None = None
        if source is Source.SIMULATED:
            threshold = JumpThreshold(min_forward=Duration(nanoseconds=FORWARD_NS),
                                      min_backward=Duration(nanoseconds=-1))
            self._handle = node.get_clock().create_jump_callback(threshold,
                                                                 post_callback=self._on_jump)

    def close(self) -> None:
        """Listen no more."""
        if self._handle is not None:
            self._handle.unregister()
            self._handle = None

    def now_ns(self) -> int:
        """What time it is; 0 before the first ``/clock``."""
        return int(self._node.get_clock().now().nanoseconds)

    def elapsed_ns(self, now_ns: int) -> int:
        """Return the time by which arrivals are judged."""
        return time.monotonic_ns() if self.source is Source.SYSTEM else now_ns

    def standing_s(self) -> float:
        """Seconds of steady time since this was last asked and time had passed; ask often."""
        now_ns, steady_ns = self.now_ns(), time.monotonic_ns()
        if now_ns != self._asked_ns:
            self._asked_ns, self._moved_ns = now_ns, steady_ns
        return (steady_ns - self._moved_ns) / 1e9

    def follow(self, now_ns: int) -> int:
        """Note what time it is; return by how much it has jumped since the last call, ns, or 0.

        The system's clock is compared with steady time: a process that was stopped for a while
        finds that time has passed, not that it has jumped.
        """
        steady_ns = time.monotonic_ns()
        passed_ns = now_ns - self._last_ns
        jump, self._jumped_ns = self._jumped_ns, None
        if self._last_ns == 0:
            found = 0
        elif self.source is Source.SIMULATED:
            found = jump or min(passed_ns, 0)
        else:
            expected_ns = (steady_ns - self._steady_ns if self.source is Source.SYSTEM else 0)
            found = passed_ns if passed_ns < 0 or passed_ns - expected_ns > FORWARD_NS else 0
        self._last_ns, self._steady_ns = now_ns, steady_ns
        return found

    def _on_jump(self, jump: TimeJump) -> None:
        # Only noted: rclpy calls nobody else any more if this raises, its own timers included.
        self._jumped_ns = (self._jumped_ns or 0) + int(jump.delta.nanoseconds)


class Offset:
    """Estimate by how much a sensor's clock lags behind the node's.

    It is the smallest time from stamp to arrival over the last 5 to 10 s: the lag, plus the
    shortest delay. The shortest, because delays vary and lags do not.
    """

    def __init__(self) -> None:
        self._since_ns = 0
        self._now: int | None = None
        self._before: int | None = None

    def note(self, stamp_ns: int, arrival_ns: int) -> None:
        """Note a sample.

        Parameters
        ----------
        stamp_ns : int
            Its stamp.
        arrival_ns : int
            When it arrived, by the node's clock.
        """
        lag = arrival_ns - stamp_ns
        if not 0 <= arrival_ns - self._since_ns < _WINDOW_NS:
            self._before, self._now, self._since_ns = self._now, None, arrival_ns
        self._now = lag if self._now is None else min(self._now, lag)

    @property
    def seconds(self) -> float | None:
        """The estimate, s; positive when the sensor's clock is behind; None before a sample."""
        known = [lag for lag in (self._now, self._before) if lag is not None]
        return min(known) / 1e9 if known else None
