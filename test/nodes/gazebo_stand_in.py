"""The embedded simulator behind Gazebo's topics: in place of Gazebo and of its bridge.

It opens on the ROS side what the bridge's file names, with the types that stand there, and does to
commands what Gazebo's velocity controller does: it turns them by the full attitude, and goes on
with the last one for ever.

    python gazebo_stand_in.py --ros-args -p config_file:=config/gazebo/bridge.yaml -p seed:=300007
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from lnn_ros import messages
from lnn_ros.nodes import environment
from lnn_ros.nodes.message_types import message_type
from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.gazebo.models.quadrotor import DEPTH_FORWARD, DEPTH_HZ, ODOM_HZ
from lnn_ros.simulation.physics import Wind
from lnn_ros.simulation.simulator import Simulator, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

FRAME = "lnn_quadrotor/base_link/"  # of a sensor, as the bridge writes Gazebo's names
STEP_NS, LAG_S = 5_000_000, 0.05


class Gazebo(Node):
    """One flight."""

    def __init__(self) -> None:
        super().__init__("gazebo_stand_in")
        config = self.declare_parameter("config_file", "").value
        self._factor = self.declare_parameter("real_time_factor", 1.0).value
        seed = self.declare_parameter("seed", 300_007).value
        task = Task.load("fly_to_target")
        world = make_world(seed, task)
        self._sim = Simulator(world, SimulatorOptions(wind=Wind(0.0, 0.0)), task=task)
        mount = CameraGeometry(position=(DEPTH_FORWARD, 0.0, 0.0))
        self._depth = Renderer(world, mount, samples=1)
        self._twist: Any = None
        self._offers = {}
        for row in yaml.safe_load(Path(config).read_text(encoding="utf-8")):
            kind = message_type(row["ros_type_name"])
            if row["direction"] == "GZ_TO_ROS":
                self._offers[row["ros_topic_name"]] = self.create_publisher(
                    kind, row["ros_topic_name"], 10)
            else:
                assert row["ros_topic_name"] == "vehicle/cmd_vel", row
                self.create_subscription(kind, row["ros_topic_name"], self._on_twist, 10)
        self._next = {"depth": self._sim.time_ns, "odom": self._sim.time_ns}

    def fly(self) -> None:
        """Go on until the process is told to end."""
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        due = time.monotonic()
        while rclpy.ok():
            # A command is heard between any two steps, however busy the computer is.
            executor.spin_once(timeout_sec=max(0.0, due - time.monotonic()))
            if due <= time.monotonic():
                self._step()
                due = max(due + 1e-9 * STEP_NS / self._factor, time.monotonic() - LAG_S)

    def _on_twist(self, message: Any) -> None:
        self._twist = message

    def _step(self) -> None:
        truth = self._sim.truth
        if self._twist is not None:
            linear, angular = self._twist.linear, self._twist.angular
            world = truth.rotation @ [linear.x, linear.y, linear.z]
            c, s = math.cos(truth.yaw), math.sin(truth.yaw)
            self._sim.command([c * world[0] + s * world[1], c * world[1] - s * world[0], world[2],
                               angular.z])
        arrived = self._sim.advance(self._sim.time_ns + STEP_NS)
        self._say("/clock", lambda m: messages.set_time(m.clock, self._sim.time_ns))
        for sample in arrived:
            self._say_sample(sample.stream, sample.value, sample.stamp_ns)
        truth, now = self._sim.truth, self._sim.time_ns
        if now >= self._next["depth"]:
            self._next["depth"] += round(1e9 / DEPTH_HZ)
            self._say_depth(self._depth.cast(truth.position, truth.rotation)[1], now)
        if now >= self._next["odom"]:
            self._next["odom"] += round(1e9 / ODOM_HZ)
            self._say("odom", lambda m: messages.fill_odometry(
                m, truth.position, truth.rotation, truth.rotation.T @ truth.velocity,
                truth.angular_velocity, now, "odom", "base_link"))

    def _say(self, topic: str, fill: Any) -> None:
        publisher = self._offers[topic]
        message = publisher.msg_type()
        fill(message)
        publisher.publish(message)

    def _say_sample(self, stream: str, value: Any, at_ns: int) -> None:
        if stream == "imu":
            self._say("imu", lambda m: messages.fill_imu(m, value, at_ns, FRAME + "imu"))
            return
        self._say_info("camera_info", at_ns, FRAME + "camera")
        self._say("image", lambda m: messages.fill_image(m, value, at_ns, FRAME + "camera"))

    def _say_info(self, topic: str, at_ns: int, frame: str) -> None:
        geometry = self._sim.geometry
        self._say(topic, lambda m: messages.fill_camera_info(
            m, geometry.width, geometry.height, geometry.focal_length, at_ns, frame))

    def _say_depth(self, depth: np.ndarray, at_ns: int) -> None:
        def fill(message: Any) -> None:
            messages.set_time(message.header.stamp, at_ns)
            message.header.frame_id = FRAME + "depth"
            message.height, message.width = depth.shape
            message.encoding, message.step = "32FC1", 4 * message.width
            message.data = depth.astype("<f4").tobytes()

        self._say_info("depth_info", at_ns, FRAME + "depth")
        self._say("depth", fill)


def main() -> None:
    """Run the node."""
    environment.use_dds_profile("simulator.xml")
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        Gazebo().fly()


if __name__ == "__main__":
    main()
