"""Listen to a robot for some seconds, and say what was observed: all that knows rclpy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import Imu

from lnn_ros import vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes import distributions, qos
from lnn_ros.nodes.doctor import graph
from lnn_ros.nodes.doctor.checks.frames import transforms
from lnn_ros.nodes.doctor.ear import Ear
from lnn_ros.nodes.doctor.intent import Intent, inputs, policy, settings
from lnn_ros.nodes.doctor.snapshot import (
    NOTHING,
    Heard,
    Input,
    Names,
    Quaternion,
    Snapshot,
    System,
    Topic,
)
from lnn_ros.nodes.doctor.status import grown
from lnn_ros.nodes.draining import DrainedGroup
from lnn_ros.nodes.message_types import message_type
from lnn_ros.nodes.parameter_rows import rows
from lnn_ros.nodes.settings import ControllerSettings, VehicleAdapterSettings

_TURN_S = 0.02
_LOOK_S = 0.25  # between two looks at the graph
_QUEUE = 1000  # messages between two turns
_SETTLE_S = 1.5  # after which most of a graph is known
_DISCOVER_S = 6.0  # and after which all of it should be
_ANSWER_S = 2.0  # that a node has to answer a question
_CLOCK, _DIAGNOSTICS, _TF = "/clock", "/diagnostics", "/tf_static"
# Of several publishers each one's last message is wanted, which one reader's queue has to hold.
_LATCHED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.TRANSIENT_LOCAL)
_DECIDED = ("autostart", "engage", "lockstep", "policy", "use_sim_time", "vehicle")
"""Parameters that launch may decide over the files."""


class Collector:
    """A node that listens; the ``with`` block ends it.

    It publishes nothing and offers no service, so that looking changes nothing: the vehicle adapter
    counts publishers, and a simulator in lock-step waits for reliable readers.

    Parameters
    ----------
    intent : Intent
        What is meant to run.
    """

    def __init__(self, intent: Intent) -> None:
        self._intent = intent
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        words = [word for ours, theirs in intent.remaps.items()
                 for word in ("-r", f"{ours}:={theirs}")]
        self._node = Node("lnn_ros_doctor", context=self._context, namespace=intent.namespace,
                          cli_args=["--ros-args", *words], use_global_arguments=False,
                          start_parameter_services=False, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._group = DrainedGroup()
        self._ears: dict[tuple[str, bool], Ear] = {}

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def observe(self, seconds: float, say: Callable[[str], None] = lambda _: None) -> Snapshot:
        """Find who is there, ask, and listen for some seconds.

        Raises
        ------
        LnnError
            When a parameter of the files is not possible.
        """
        problem = _unusable()
        if problem:
            return Snapshot(system=_system(problem))
        say("looking who is there")
        self._discover()
        controller, adapter = self._own("controller"), self._own("vehicle_adapter")
        live = {name: self._parameters(name, kind) for name, kind in (
            (controller, ControllerSettings), (adapter, VehicleAdapterSettings))}
        wanted = settings(ControllerSettings, {**self._intent.controller, **live[controller]})
        adapting = settings(VehicleAdapterSettings, {**self._intent.adapter, **live[adapter]})
        stated = live[controller].get("use_sim_time", self._intent.use_sim_time)
        simulated = wanted.lockstep or (bool(stated) if stated is not None else bool(
            self._node.count_publishers(_CLOCK)))
        names, absent = self._names(vehicles.make(adapting.vehicle))
        read = inputs(wanted, adapting, simulated, self._node.resolve_topic_name)
        say(f"listening for {seconds:g} s")
        self._listen(seconds, read, names)
        ended_ns = time.time_ns()
        seen = graph.topics(self._node)
        nodes = graph.node_names(self._node)
        heard = self._heard(seen, read, names)
        return Snapshot(
            system=_system(), policy=policy(wanted.policy), settings=wanted, adapter=adapting,
            absent=absent, differs=self._differences(live), simulated=simulated,
            stated=stated is not None or wanted.lockstep, seconds=seconds,
            clock=self._clock(), ended_ns=ended_ns, inputs=read, names=names, topics=seen,
            heard=heard, nodes=nodes, lifecycle=self._states(controller, nodes),
            transforms=self._transforms(), dropped=self._dropped(seen))

    # Who is there

    def _discover(self) -> None:
        """Wait until the graph does not grow any more."""
        begun, grown, known = time.monotonic(), time.monotonic(), -1
        while True:
            self._executor.spin_once(timeout_sec=_LOOK_S)
            now, nodes = time.monotonic(), graph.node_names(self._node)
            count = len(nodes) + len(self._node.get_topic_names_and_types())
            if count != known:
                known, grown = count, now
            if now - begun > _DISCOVER_S or (nodes and now - grown > _SETTLE_S):
                return

    def _own(self, node: str) -> str:
        space = self._node.get_namespace().rstrip("/")
        return f"{space}/{node}"

    def _names(self, vehicle: vehicles.Vehicle) -> tuple[Names, tuple[str, ...]]:
        """Return resolved names, and the vehicle's message types that are not installed."""
        absent = []

        def resolved(topics: Mapping[str, str]) -> dict[str, str]:
            found = {}
            for topic, kind in topics.items():
                name = topic
                try:
                    name = vehicle.name(topic, message_type(kind))
                except LnnError:
                    absent.append(kind)
                found[topic] = self._node.resolve_topic_name(name)
            return found

        names = Names(self._own("controller"), self._own("vehicle_adapter"),
                      self._node.resolve_topic_name("cmd_vel"), resolved(vehicle.takes),
                      resolved(vehicle.says))
        return names, tuple(absent)

    # Questions

    def _ask(self, kind: type[Any], service: str, request: Any) -> Any:
        """Call a service, if somebody offers it; None without an answer in time."""
        client: Any = self._node.create_client(kind, service)
        try:
            end = time.monotonic() + _ANSWER_S
            while not client.service_is_ready():
                if time.monotonic() > end:
                    return None
                self._executor.spin_once(timeout_sec=_TURN_S)
            # An answer is thrown away while the other side does not know this client yet: the
            # question is put again, which changes nothing, as it changes nothing there.
            questions: list[Future] = []
            again, end = 0.0, time.monotonic() + _ANSWER_S
            while time.monotonic() < end:
                if time.monotonic() >= again:
                    questions.append(client.call_async(request))
                    again = time.monotonic() + 0.5
                self._executor.spin_once(timeout_sec=_TURN_S)
                for question in questions:
                    if question.done():
                        return question.result()
            return None
        finally:
            self._node.destroy_client(client)

    def _parameters(self, node: str, kind: type[Any]) -> dict[str, Any]:
        """Return the parameters that a running node has; empty where none answers."""
        if node not in graph.node_names(self._node):
            return {}
        names = [*(row.name for row in rows(kind)), "use_sim_time"]
        answer = self._ask(GetParameters, f"{node}/get_parameters",
                           GetParameters.Request(names=names))
        if answer is None:
            return {}
        values = [parameter_value_to_python(value) for value in answer.values]
        return {name: value for name, value in zip(names, values, strict=False)
                if value is not None}

    def _differences(self, live: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
        """Say in which parameters running nodes differ from files that were named."""
        if not self._intent.named:
            return ()
        files = zip(live.items(), (self._intent.controller, self._intent.adapter), strict=True)
        return tuple(f"{node} runs with {name} {has[name]!r}, the files say {value!r}"
                     for (node, has), said in files for name, value in sorted(said.items())
                     if name in has and has[name] != value and name not in _DECIDED)

    def _states(self, node: str, nodes: frozenset[str]) -> dict[str, str]:
        """Return the lifecycle state of the controller, if it answers."""
        if node not in nodes:
            return {}
        answer = self._ask(GetState, f"{node}/get_state", GetState.Request())
        return {} if answer is None else {node: str(answer.current_state.label)}

    # Listening

    def _listen(self, seconds: float, read: tuple[Input, ...], names: Names) -> None:
        """Open ears as topics appear, and listen."""
        end = time.monotonic() + seconds
        looked = 0.0
        while True:
            now = time.monotonic()
            if now - looked > _LOOK_S:
                looked = now
                for wanted in read:
                    self._open(wanted.topic, wanted.kind)
                self._open(_CLOCK, "rosgraph_msgs/msg/Clock")
                self._open(_DIAGNOSTICS, "diagnostic_msgs/msg/DiagnosticArray")
                self._open(_TF, "tf2_msgs/msg/TFMessage")
                self._open(names.command, "geometry_msgs/msg/TwistStamped")
                for node in (names.controller, names.adapter):
                    self._open(f"{node}/status", "diagnostic_msgs/msg/DiagnosticStatus")
            for ear in self._ears.values():
                ear.listen()
            if now >= end:
                return
            time.sleep(_TURN_S)

    def _open(self, topic: str, kind: str) -> None:
        """Listen to a topic, and to what it has latched, once somebody publishes it."""
        offers = [offer for offer in self._node.get_publishers_info_by_topic(topic)
                  if offer.topic_type == kind]
        if not offers:
            return
        # Best effort matches whatever is offered; what came before is read by a second one.
        latched = any(graph.quality(offer.qos_profile).latched for offer in offers)
        qualities = {False: qos.sensor(_QUEUE, False), **({True: _LATCHED} if latched else {})}
        for late, quality in qualities.items():
            if (topic, late) not in self._ears:
                try:
                    self._ears[topic, late] = Ear(self._node, message_type(kind), topic, quality,
                                                  self._group, topic in (_TF, _DIAGNOSTICS))
                except LnnError:
                    return  # its type is not installed

    def _heard(self, seen: Mapping[str, Topic], read: tuple[Input, ...],
               names: Names) -> dict[str, Heard]:
        """Return what came, by our names."""
        ours = {wanted.remap: wanted.topic for wanted in read}
        ours |= {"cmd_vel": names.command, "controller/status": f"{names.controller}/status",
                 "vehicle_adapter/status": f"{names.adapter}/status"}
        found = {}
        for name, topic in ours.items():
            ears = [self._ears[topic, late] for late in (False, True) if (topic, late) in
                    self._ears]
            count = len(seen[topic].publishers) if topic in seen else 0
            every = [ear.heard(count) for ear in ears]
            full = [heard for heard in every if len(heard)]
            if full:
                found[name] = full[0]
        return found

    def _transforms(self) -> dict[str, tuple[str, Quaternion]]:
        """Return what /tf_static says, where its type is installed."""
        ear = self._ears.get((_TF, True))
        return {} if ear is None else transforms(ear.kept())

    def _dropped(self, seen: Mapping[str, Topic]) -> dict[str, int]:
        """Return what the controller counted as dropped meanwhile."""
        ear = self._ears.get((_DIAGNOSTICS, False))
        speakers = [p.node for p in seen.get(_DIAGNOSTICS, NOTHING).publishers
                    if p.node.endswith("/controller")]
        # Two robots' controllers have the same name there: nobody could tell whose it is.
        if ear is None or len(speakers) != 1:
            return {}
        return grown(ear.kept(), "controller: control")

    def _clock(self) -> tuple[tuple[int, int], ...]:
        """Return what came on /clock: arrival and time."""
        ear = self._ears.get((_CLOCK, False))
        return () if ear is None else ear.times()


def _unusable() -> str:
    """Say why messages cannot be used in this Python; nothing where they can."""
    try:
        deserialize_message(serialize_message(Imu()), Imu)
    except Exception as error:  # whatever C code that was built for another numpy comes to
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""


def _system(problem: str = "") -> System:
    discovery = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    if os.environ.get("ROS_LOCALHOST_ONLY") == "1":
        discovery = "LOCALHOST"
    boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return System(distributions.name(), rclpy.get_rmw_implementation_identifier(),
                  os.environ.get("ROS_DOMAIN_ID", "") or "0",
                  f"discovery range {discovery}" if discovery else "", np.__version__, problem,
                  boot)
