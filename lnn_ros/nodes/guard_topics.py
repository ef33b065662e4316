"""What the guard is told beside the policy's wish: by a person, the vehicle and its sensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Bool

from lnn_ros import distances, messages
from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.modes import Refusal
from lnn_ros.guard.points import Points
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.message_types import message_type
from lnn_ros.nodes.settings import RANGES, SENSORS, ControllerSettings

_FEW = 10  # in the queue between two ticks
_TILT_MAX_AGE_S = 0.5  # older odometry says nothing about how the body is tilted
_AHEAD_S = 0.5  # of the node's time, at most, as for the policy's own streams


class GuardTopics:
    """Subscriptions of what the guard is told.

    Parameters
    ----------
    node : Node
        Where to subscribe.
    settings : ControllerSettings
        Which sensors there are.
    complaints : Complaints
        Where unusable messages are counted and said.
    """

    def __init__(self, node: Node, settings: ControllerSettings, complaints: Complaints) -> None:
        self._settings, self._complaints = settings, complaints
        self._k: tuple[float, ...] | None = None
        self._ahead_s = _AHEAD_S
        self._tilt, self._tilt_ns = (0.0, 0.0), 0
        group = DrainedGroup()
        sensor = qos.sensor(_FEW, settings.lockstep)
        # A person's words and the vehicle's: any publisher's, reliable or not.
        word = qos.sensor(_FEW, False)
        person = TwistStamped if settings.takeover.stamped else Twist
        self._drains: dict[str, Drain] = {}
        self._takers: dict[str, Callable[[Guard, Any, int, float | None], None]] = {}

        def listen(topic: str, kind: type[Any], quality: Any,
                   taker: Callable[[Guard, Any, int, float | None], None]) -> None:
            self._drains[topic] = Drain(node, kind, topic, quality, group)
            self._takers[topic] = taker

        listen("vehicle_state", DiagnosticStatus, qos.RELIABLE if settings.lockstep else word,
               self._vehicle)
        listen("deadman", Bool, word, self._deadman)
        listen("takeover", person, word, self._takeover)
        listen("odom", Odometry, sensor, self._odometry)
        if settings.depth.enabled:
            listen("depth_info", CameraInfo, sensor, self._depth_info)
        for name, kind in SENSORS.items():
            if getattr(settings, name).enabled:
                listen(name, message_type(kind), sensor, partial(self._sensor, name))

    def feed(self, guard: Guard, now_ns: int, now: float | None, jumped: bool = False) -> None:
        """Hand on what has arrived.

        Parameters
        ----------
        guard : Guard
        now_ns : int
            The node's time.
        now : float or None
            Steady time, s; None where the node's time stands in for it.
        jumped : bool
            Whether time has just jumped: what is stamped later than now was waiting from before.
        """
        self._ahead_s = 0.0 if jumped else _AHEAD_S
        guard.begin(now_ns)
        for topic, drain in self._drains.items():
            for payload, _ in drain.take():
                self._take(guard, topic, payload, now_ns, now)

    def set(self, settings: ControllerSettings) -> None:
        """Take parameters that count at once; which sensors there are is not one of them."""
        self._settings = settings

    def close(self) -> None:
        """End the subscriptions."""
        for drain in self._drains.values():
            drain.close()

    def _take(self, guard: Guard, topic: str, payload: bytes, now_ns: int,
              now: float | None) -> None:
        kind = self._drains[topic].kind
        try:
            message = deserialize_message(payload, kind)
        except Exception as error:  # rclpy's RMWError, or whatever a hostile payload provokes
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self._complaints.report(topic, "undecodable",
                                    f"{len(payload)} bytes are no {kind.__name__}: {reason}")
            return
        try:
            self._takers[topic](guard, message, now_ns, now)
        except Refusal as error:
            self._complaints.report(topic, "refused", str(error))
        except LnnError as error:
            self._complaints.report(topic, "content", str(error))
        else:
            self._complaints.fine(topic)

    def _vehicle(self, guard: Guard, message: Any, _now_ns: int, now: float | None) -> None:
        guard.vehicle(*messages.vehicle_state(message), now)

    def _deadman(self, guard: Guard, message: Any, _now_ns: int, now: float | None) -> None:
        guard.deadman(bool(message.data), now)

    def _takeover(self, guard: Guard, message: Any, now_ns: int, now: float | None) -> None:
        if self._settings.takeover.stamped:
            frame, timeout = message.header.frame_id, self._settings.takeover.timeout
            age = (now_ns - messages.stamp_ns(message)) / 1e9
            if frame not in ("", self._settings.base_frame):
                raise LnnError(f"a takeover command is in frame {frame[:40]!r}: expected "
                               f"{self._settings.base_frame}, or none")
            if not -_AHEAD_S <= age <= timeout:
                raise LnnError(f"a takeover command is {age:.3f} s old: expected at most "
                               f"takeover.timeout, {timeout:g} s")
            message = message.twist
        # Not finite: refused here, with a sentence; the guard would count it only.
        guard.take_over(messages.twist_vector(message).tolist(), now)

    def _odometry(self, guard: Guard, message: Any, now_ns: int, _now: float | None) -> None:
        stamp, pose = messages.stamp_ns(message), messages.odometry_pose(message)
        self._check_ahead("odometry", stamp, now_ns)
        if guard.locate(stamp, pose.position, pose.yaw):
            self._tilt, self._tilt_ns = (pose.roll, pose.pitch), stamp

    def _check_ahead(self, what: str, stamp_ns: int, now_ns: int) -> None:
        ahead = (stamp_ns - now_ns) / 1e9
        if ahead > self._ahead_s:
            raise LnnError(f"{what} is stamped {ahead:.3f} s ahead of this node's time: expected "
                           f"at most {self._ahead_s:g} s")

    def _depth_info(self, _guard: Guard, message: Any, _now_ns: int, _now: float | None) -> None:
        self._k = distances.sensor_k(message)

    def _sensor(self, name: str, guard: Guard, message: Any, now_ns: int,
                _now: float | None) -> None:
        stamp = messages.stamp_ns(message)
        self._check_ahead(name, stamp, now_ns)
        points, share = self._points(name, message)
        known = abs(stamp - self._tilt_ns) <= _TILT_MAX_AGE_S * 1e9
        guard.see(name, stamp, points, share, self._tilt if known else (0.0, 0.0))

    def _points(self, name: str, message: Any) -> tuple[Points, float]:
        if name == "depth":
            depth = self._settings.depth
            return distances.depth_points(message, self._k, depth.near, depth.far)
        if name == "scan":
            return distances.scan_points(message)
        if name in RANGES:
            return distances.range_points(message)
        return distances.cloud_points(message)
