"""Watch a flight from outside: a small node that listens to the others and sums them up."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu

from lnn_ros.messages import time_ns
from lnn_ros.nodes.draining import Drain, DrainedGroup

_COUNTED = {"image": Image, "imu": Imu, "cmd_vel": TwistStamped}
_SENSED = ("image", "imu")
_ADAPTED = "vehicle/cmd_vel"
_RECORDED = (*_COUNTED, "ground_truth", "/clock", "simulator/status", "controller/status",
             "controller/trace", "controller/neurons", "/diagnostics", "vehicle_state")
_WINDOW_NS = 1_000_000_000
_SHORTEST_NS = 300_000_000


class Watcher:
    """What a bystander knows of a flight.

    Messages are counted but, where the count is all that is wanted, never decoded, so that
    watching costs little even at many times real time.

    Parameters
    ----------
    domain : int
        The ROS_DOMAIN_ID of the flight.
    adapted : bool
        Whether a vehicle adapter is part of it.

    Attributes
    ----------
    simulator, controller, companion : dict of str to str
        Latest key-values of their status; empty before the first.
    complaints : dict of str to str
        What each node says is wrong with it, while it says so.
    ages : dict of str to float
        Age in seconds of each stream's newest sample behind the latest command.
    clock_ns : int
        Simulated time; 0 before the first.
    """

    def __init__(self, domain: int, adapted: bool = False) -> None:
        self._adapted = adapted
        self.simulator: dict[str, str] = {}
        self.controller: dict[str, str] = {}
        self.companion: dict[str, str] = {}
        self.complaints: dict[str, str] = {}
        self.ages: dict[str, float] = {}
        self.clock_ns = 0
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._history: deque[tuple[int, dict[str, int]]] = deque()
        self._context = Context()
        # Ctrl-C is the demo's: it must still hear the others while they stop.
        rclpy.init(context=self._context, domain_id=domain,
                   signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("demo", context=self._context, start_parameter_services=False,
                          enable_rosout=False)
        group = DrainedGroup()
        # Best effort, so that a flight in lock-step never waits for a bystander.
        many = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        last = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                          durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._counted = {topic: Drain(self._node, kind, topic, many, group)
                         for topic, kind in _COUNTED.items()}
        self._clock = Drain(self._node, Clock, "/clock", newest, group)
        self._trace = Drain(self._node, DiagnosticArray, "controller/trace", newest, group)
        self._status = {name: Drain(self._node, DiagnosticStatus, f"{name}/status", last, group)
                        for name in ("simulator", "controller", "companion")}
        self._settings = AsyncParameterClient(self._node, "simulator")

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def poll(self) -> None:
        """Take in what has arrived since the last call."""
        for topic, drain in self._counted.items():
            self._counts[topic] += sum(1 for _ in drain.take())
        for message in _decoded(self._clock):
            self._on_clock(time_ns(message.clock))
        for message in _decoded(self._trace):
            for status in message.status:
                self._on_trace(_pairs(status))
        for name, known in (("simulator", self.simulator), ("controller", self.controller),
                            ("companion", self.companion)):
            for message in _decoded(self._status[name]):
                known.update(_pairs(message))
                if message.level == DiagnosticStatus.ERROR:
                    self.complaints[name] = message.message
                else:
                    self.complaints.pop(name, None)

    def others(self, patience_s: float) -> list[str]:
        """Names of nodes that are on the demo's topics, after some time to discover them."""
        end = time.monotonic() + patience_s
        found: set[str] = set()
        # An endpoint may be known before the name of its node is.
        while time.monotonic() < end and (not found or any("UNKNOWN" in name for name in found)):
            found = {f"{info.node_namespace.rstrip('/')}/{info.node_name}"
                     for topic in (*_COUNTED, _ADAPTED, "/clock")
                     for info in [*self._node.get_publishers_info_by_topic(topic),
                                  *self._node.get_subscriptions_info_by_topic(topic)]}
            found.discard("/demo")
            time.sleep(0.05)
        return sorted(found)

    def missing(self) -> str:
        """What the flight still waits for before it can begin; empty when all are listening."""
        if not self.simulator or not self._settings.services_are_ready():
            return "simulator"
        if self._adapted and not (self._heard("vehicle_adapter", ("cmd_vel",))
                                  and self._heard("simulator", (_ADAPTED,))):
            return "vehicle_adapter"
        if self.controller.get("active") != "true" or not self._heard("controller", _SENSED):
            return "controller"
        if self.companion.get("recording") != "true" or not self._heard(
                "companion", (*_RECORDED, *((_ADAPTED,) if self._adapted else ()))):
            return "companion"
        return ""

    def set_real_time_factor(self, factor: float, patience_s: float = 10.0) -> bool:
        """Change how fast simulated time passes; say whether the simulator took it."""
        future = self._settings.set_parameters([Parameter("real_time_factor", value=factor)])
        executor = SingleThreadedExecutor(context=self._context)
        rclpy.spin_until_future_complete(self._node, future, executor, patience_s)
        executor.shutdown()
        answer = future.result() if future.done() else None
        return answer is not None and all(result.successful for result in answer.results)

    def _heard(self, listener: str, topics: tuple[str, ...]) -> bool:
        """Whether a node has subscribed to topics."""
        return all(any(info.node_name == listener for info in
                       self._node.get_subscriptions_info_by_topic(topic)) for topic in topics)

    def rates(self) -> dict[str, float | None]:
        """Messages per simulated second over about the last one; None while not known."""
        if not self._history or self.clock_ns - self._history[0][0] < _SHORTEST_NS:
            return dict.fromkeys(_COUNTED)
        then_ns, then = self._history[0]
        seconds = 1e-9 * (self.clock_ns - then_ns)
        return {topic: (count - then[topic]) / seconds for topic, count in self._counts.items()}

    def _on_clock(self, now_ns: int) -> None:
        if now_ns < self.clock_ns:  # the simulator was reset
            self._history.clear()
        self.clock_ns = now_ns
        self._history.append((now_ns, dict(self._counts)))
        while now_ns - self._history[0][0] > _WINDOW_NS and len(self._history) > 2:
            self._history.popleft()

    def _on_trace(self, pairs: dict[str, str]) -> None:
        for key, text in pairs.items():
            stream, _, unit = key.rpartition(".")
            if unit == "age_s" and text:
                self.ages[stream] = float(text)


def _decoded(drain: Drain) -> list[Any]:
    return [deserialize_message(payload, drain.kind) for payload, _ in drain.take()]


def _pairs(status: Any) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}
