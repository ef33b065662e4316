"""The controller's clocks: what time it is, whether it jumped, and what clock a sensor stamps by.

Time is what the node's clock says: the system's, ``/clock`` with ``use_sim_time``, or in lock-step
each ``/clock`` message that is answered. Whether ``/clock`` moves is judged by steady time, and so
is, by the system's clock, how long nothing has arrived. With ``/clock`` the latter is judged by
``/clock``: simulated sensors are as slow as simulated time.
"""

from __future__ import annotations

import time
from enum import Enum

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

from lnn_ros import messages
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.draining import Drain, DrainedGroup

FORWARD_NS = 5_000_000_000
"""Time that goes on by more than this at once has jumped: nothing from before is of use."""
_WINDOW_NS = 5_000_000_000
_DEPTH = 1000  # /clock messages between two looks


class Source(Enum):
    """Where the node's time comes from."""

    SYSTEM = "the system's clock"
    SIMULATED = "/clock"
    LOCKSTEP = "/clock, each one answered"


class Clocks:
    """Follow the node's time.

    ``/clock`` is read here, every message of it, and not from the node's own clock. That one knows
    only the message that the executor came round to last: on a busy machine it lags behind the
    samples, which then seem to be from the future, and a moment's delay at many times real time
    looks to rclpy's jump callbacks like a jump.

    Parameters
    ----------
    node : Node
        Whose time it is.
    source : Source
        Where it comes from.
    complaints : Complaints, optional
        Where messages that are none are counted and said.
    """

    def __init__(self, node: Node, source: Source, complaints: Complaints | None = None) -> None:
        self.source, self._complaints = source, complaints
        self._now_ns = self._jump_ns = 0
        self._steady_ns = time.monotonic_ns()
        self._drain = (Drain(node, Clock, "/clock", qos.sensor(_DEPTH, False), DrainedGroup())
                       if source is Source.SIMULATED else None)

    def close(self) -> None:
        """Listen no more."""
        if self._drain is not None:
            self._drain.close()

    def look(self) -> int:
        """Return what time it is, ns; 0 before the first ``/clock``."""
        if self._drain is not None:
            for payload, _ in self._drain.take():
                # Everything that makes the vehicle safe asks for the time: this must not fail.
                try:
                    clock = deserialize_message(payload, Clock).clock
                except Exception:  # rclpy's RMWError, or whatever a hostile payload provokes
                    self._drop("undecodable", f"{len(payload)} bytes are no Clock")
                    continue
                if clock.sec < 0 or clock.nanosec >= messages.NS_PER_S:
                    self._drop("content", f"time is {clock.sec} s {clock.nanosec} ns: expected "
                               f"none before zero, and less than a second of nanoseconds")
                    continue
                self.tell(messages.time_ns(clock))
        elif self.source is Source.SYSTEM:
            self.tell(time.time_ns())  # rclpy's clock takes ten times as long to say the same
        return self._now_ns

    def _drop(self, reason: str, sentence: str) -> None:
        if self._complaints is not None:
            self._complaints.report("clock", reason, sentence)

    def tell(self, now_ns: int) -> None:
        """Take note of a time.

        The system's clock is compared with steady time: a process that was stopped for a while
        finds that time has passed, not that it has jumped.
        """
        steady_ns, passed_ns = time.monotonic_ns(), now_ns - self._now_ns
        expected_ns = steady_ns - self._steady_ns if self.source is Source.SYSTEM else 0
        if self._now_ns and (passed_ns < 0 or passed_ns - expected_ns > FORWARD_NS):
            self._jump_ns += passed_ns
        if passed_ns:
            self._now_ns, self._steady_ns = now_ns, steady_ns

    def jump(self) -> int:
        """Return by how much time has jumped since the last call, ns; 0 if it has not."""
        found, self._jump_ns = self._jump_ns, 0
        return found

    def elapsed_ns(self) -> int:
        """Return the time by which arrivals are judged."""
        return time.monotonic_ns() if self.source is Source.SYSTEM else self._now_ns

    def standing_s(self) -> float:
        """Seconds of steady time since time was last seen to pass."""
        self.look()
        return (time.monotonic_ns() - self._steady_ns) / 1e9


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
