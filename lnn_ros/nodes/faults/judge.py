"""A bystander: hears what leaves the controller and the vehicle adapter, and dates it.

Arrival is what the middleware says, by the system's clock, told in steady time: it does not depend
on when this process came round to looking.
"""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from lnn_ros import messages
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.faults.verdict import Command, Heard, Report

_DEPTH = 5000
_RELIABLE = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
_BEST_EFFORT = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Judge:
    """Listen.

    Parameters
    ----------
    node : Node
        Where to subscribe; nobody has to spin it.

    Attributes
    ----------
    heard : Heard
        What has come since the last ``forget``.
    mode, reason, troubles, swap, policy : str
        The controller's latest word; empty before the first.
    counts : dict of str to str
        Latest key-values of the controller's /diagnostics.
    outcome : str
        The simulator's latest word.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._group = node, DrainedGroup()
        self._steady_less_system = time.monotonic() - time.time()
        self._drains: dict[str, Drain] = {}
        for topic, kind, quality in (
            ("cmd_vel", TwistStamped, _RELIABLE),
            ("vehicle/cmd_vel", TwistStamped, _RELIABLE),
            ("controller/status", DiagnosticStatus, _LATCHED),
            ("controller/trace", DiagnosticArray, _BEST_EFFORT),
            ("ground_truth", Odometry, _BEST_EFFORT),
            ("/diagnostics", DiagnosticArray, _BEST_EFFORT),
            ("simulator/status", DiagnosticStatus, _LATCHED),
        ):
            self._drains[topic] = Drain(node, kind, topic, quality, self._group)
        self.heard = Heard()
        self.mode = self.reason = self.troubles = self.outcome = self.swap = self.policy = ""
        self.counts: dict[str, str] = {}

    def forget(self) -> None:
        """Begin a new row; the latest report stays, as what was said before."""
        self.poll()
        self.heard = Heard(reports=self.heard.reports[-1:])

    def be_deaf(self, deaf: bool) -> None:
        """Listen to ``cmd_vel`` no more, or again."""
        if deaf:
            self._drains.pop("cmd_vel").close()
        elif "cmd_vel" not in self._drains:
            self._drains["cmd_vel"] = Drain(self._node, TwistStamped, "cmd_vel", _RELIABLE,
                                            self._group)

    def poll(self) -> None:
        """Take in what has arrived."""
        for topic, drain in list(self._drains.items()):
            for payload, arrival_ns in drain.take():
                at = arrival_ns / 1e9 + self._steady_less_system
                try:
                    message = deserialize_message(payload, drain.kind)
                except Exception:  # nosec B112  # of a hostile publisher, whom nobody here obeys
                    continue
                self._note(topic, at, message)

    def _note(self, topic: str, at: float, message: Any) -> None:
        heard = self.heard
        if topic == "cmd_vel":
            heard.commands.append(_command(at, message))
        elif topic == "vehicle/cmd_vel":
            heard.vehicle.append(_command(at, message))
        elif topic == "controller/status":
            values = _pairs(message)
            self.mode, self.reason = values.get("mode", ""), values.get("reason", "")
            self.troubles, self.swap = values.get("troubles", ""), values.get("swap", "")
            heard.reports.append(Report(at, self.mode, self.reason, "status"))
        elif topic == "controller/trace":
            for status in message.status:
                values = _pairs(status)
                self.mode, self.policy = values.get("mode", self.mode), values.get("policy", "")
                heard.reports.append(Report(at, self.mode, "", "trace"))
                vx, vy, vz, turn = map(float.fromhex, values["command"].split())
                heard.trace(Command(at, messages.time_ns(message.header.stamp),
                                    (vx, vy, vz, turn)), int(values["stops"]))
        elif topic == "ground_truth":
            heard.simulated.append((at, messages.time_ns(message.header.stamp) / 1e9))
            linear = message.twist.twist.linear
            heard.speeds.append((at, float((linear.x**2 + linear.y**2 + linear.z**2) ** 0.5)))
        elif topic == "/diagnostics":
            for status in message.status:
                if status.name.startswith("controller"):
                    self.counts = _pairs(status)
        else:
            self.outcome = _pairs(message).get("outcome", "")


def _command(at: float, message: Any) -> Command:
    linear, angular = message.twist.linear, message.twist.angular
    return Command(at, messages.time_ns(message.header.stamp),
                   (linear.x, linear.y, linear.z, angular.z), str(message.header.frame_id))


def _pairs(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
