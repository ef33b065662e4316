"""One vehicle of the embedded simulator on its topics: sensors, commands, and what it says."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, Imu

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints, status, vehicle_state
from lnn_ros.simulation.sensors import START_NS, Delivery
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, Outcome, Simulator

BODY, CAMERA, MAP, ODOM = "base_link", "camera", "map", "odom"
STATE_S = 0.05
"""Between two messages about the vehicle, s, by simulated and by steady time."""

_POSE_NS = 20_000_000  # between two odometry messages
_ANSWER_NS = CONTROL_PERIOD_NS // 2  # a command stamped up to this after an instant answers it
_PATIENCE = Duration(seconds=0.05)


class SimulatedVehicle:
    """What ROS knows of one vehicle.

    Parameters
    ----------
    node : Node
        The simulator.
    name : str
        Namespace of the vehicle's topics below the node's; empty for none.
    lockstep : bool
        Whether a command counts only as the answer to an instant.
    complaints : Complaints
        Where commands that cannot be used are counted and said.

    Attributes
    ----------
    answered : bool
        Whether the present instant has been answered by a command; to be cleared by who asks.
    asked : bool
        Whether it has been asked for.
    """

    def __init__(self, node: Node, name: str, lockstep: bool, complaints: Complaints) -> None:
        self._node, self._name, self._lockstep = node, name, lockstep
        self._complaints = complaints
        self._simulator: Simulator | None = None
        self.asked = self.answered = False
        self._outcome, self._airborne = Outcome.FLYING, True
        self._stated_at, self._stated_ns = -np.inf, START_NS
        sensor = qos.sensor(1000 if lockstep else 10, lockstep)
        at = f"{name}/" if name else ""
        self._command = f"{at}cmd_vel"
        self._image = node.create_publisher(Image, f"{at}image", sensor)
        self._camera_info = node.create_publisher(CameraInfo, f"{at}camera_info", sensor)
        self._imu = node.create_publisher(Imu, f"{at}imu", sensor)
        self._odom = node.create_publisher(Odometry, f"{at}odom", qos.RELIABLE)
        self._truth = node.create_publisher(Odometry, f"{at}ground_truth", qos.RELIABLE)
        self._vehicle_state = node.create_publisher(DiagnosticStatus, f"{at}vehicle_state",
                                                    qos.RELIABLE)
        self._status = node.create_publisher(
            DiagnosticStatus, f"{at}{node.get_name()}/status" if name else "~/status", qos.LATCHED)
        node.create_subscription(TwistStamped, self._command, self._on_command,
                                 QoSProfile(depth=10))

    def begin(self, simulator: Simulator) -> None:
        """Be what a simulator flies from now on."""
        self._simulator = simulator
        self._outcome, self._airborne = Outcome.FLYING, True
        self._position = np.zeros(3)
        self._next_pose_ns = START_NS
        self.asked = self.answered = False
        self.say_state()

    def end(self) -> None:
        """Be flown by nothing."""
        self._simulator = None

    def look(self) -> None:
        """Find out whether it flies: until it has touched something, which ends the flight."""
        self._airborne = self._made().outcome is not Outcome.CONTACT

    def publish(self, arrived: list[Delivery]) -> None:
        """Publish samples in order of arrival, then the pose if it is due."""
        simulator = self._made()
        for delivery in arrived:
            if delivery.stream == "imu":
                imu = Imu()
                messages.fill_imu(imu, delivery.value, delivery.stamp_ns, BODY)
                self._imu.publish(imu)
            else:
                image, info = Image(), CameraInfo()
                messages.fill_image(image, delivery.value, delivery.stamp_ns, CAMERA)
                height, width = delivery.value.shape[:2]
                messages.fill_camera_info(info, width, height, simulator.geometry.focal_length,
                                          delivery.stamp_ns, CAMERA)
                self._camera_info.publish(info)  # first, so that the image can be used at once
                self._image.publish(image)
        if simulator.time_ns >= self._next_pose_ns:
            self._publish_pose(simulator)

    def acknowledged(self) -> bool:
        """Await that every subscriber has the samples; false when that takes long."""
        awaited = (self._vehicle_state, self._imu, self._camera_info, self._image)
        return all(publisher.wait_for_all_acked(_PATIENCE) for publisher in awaited)

    def ended(self) -> str:
        """Return how the flight has ended, once; empty while it has not, and afterwards."""
        outcome = self._made().outcome
        if outcome is self._outcome:
            return ""
        self._outcome = outcome
        return f"{self._name}: {outcome.value}" if self._name else outcome.value

    def say_state(self, if_due: bool = False) -> None:
        """Say for the vehicle what its adapter would say for a robot."""
        now, now_ns = time.monotonic(), self._simulator.time_ns if self._simulator else START_NS
        due = now - self._stated_at >= STATE_S or now_ns - self._stated_ns >= STATE_S * 1e9
        if if_due and not due:
            return
        self._stated_at, self._stated_ns = now, now_ns
        self._vehicle_state.publish(vehicle_state(self._node.get_name(), self._airborne, True))

    def say_status(self, about: Mapping[str, object], paused: bool) -> None:
        """Say how the flight stands."""
        simulator = self._made()
        outcome = simulator.outcome.value
        values = {
            "task": simulator.task.name, "seed": simulator.world.seed, "outcome": outcome,
            "time_s": (simulator.time_ns - START_NS) / 1e9, "distance_m": simulator.distance,
            "clearance_m": simulator.clearance, "paused": str(paused).lower(), **about,
        }
        if simulator.followed is not None:
            values["followed"] = simulator.followed
        bad = simulator.outcome in (Outcome.CONTACT, Outcome.TIMEOUT)
        self._publish_status(WARN if bad else OK, "paused" if paused else outcome, values)

    def say_problem(self, problem: str) -> None:
        """Say why there is no flight."""
        self._publish_status(ERROR, problem, {"outcome": ""})

    def _publish_status(self, level: bytes, text: str, values: Mapping[str, object]) -> None:
        self._status.publish(status(f"{self._node.get_name()}: status", level, text, values))

    def _on_command(self, message: TwistStamped) -> None:
        simulator = self._simulator
        if simulator is None:
            return
        try:
            stamp = messages.stamp_ns(message)
            vector = messages.command_vector(message)
            if message.header.frame_id != BODY:
                raise LnnError(f"command is in frame {message.header.frame_id!r}: expected {BODY}")
        except LnnError as error:
            self._complaints.report(self._command, "dropped", str(error))
            return
        self._complaints.fine(self._command)
        if not self._lockstep:
            simulator.command(vector)
        # Not any later stamp: right after a reset, the last answer of the episode before may come.
        elif self.asked and not self.answered and 0 <= stamp - simulator.time_ns < _ANSWER_NS:
            simulator.command(vector)
            self.answered = True

    def _publish_pose(self, simulator: Simulator) -> None:
        truth, now = simulator.truth, simulator.time_ns
        exact = Odometry()
        messages.fill_odometry(exact, truth.position, truth.rotation,
                               truth.rotation.T @ truth.velocity, truth.angular_velocity, now,
                               MAP, BODY)
        self._truth.publish(exact)
        # The vehicle knows its attitude, but its place only by adding up its estimated velocity.
        c, s = np.cos(truth.yaw), np.sin(truth.yaw)
        levelled = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        velocity = levelled @ simulator.estimate
        elapsed = (now - self._next_pose_ns + _POSE_NS) / 1e9
        self._position = self._position + velocity * elapsed
        self._next_pose_ns = now + _POSE_NS
        estimate = Odometry()
        messages.fill_odometry(estimate, self._position, truth.rotation,
                               truth.rotation.T @ velocity, truth.angular_velocity, now, ODOM, BODY)
        self._odom.publish(estimate)

    def _made(self) -> Simulator:
        """Return what flies."""
        assert self._simulator is not None
        return self._simulator
