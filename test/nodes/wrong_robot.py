"""Robots that are set up wrongly, for the doctor: ``python test/nodes/wrong_robot.py sensors``.

``sensors``: camera and IMU stamp by the time since boot, the calibration is of another size than
the image, the IMU is mounted upside down, and a joystick commands beside the controller.
``names``: compressed images come where raw ones are expected, the IMU has another name, a planner
commands with best effort, and the autopilot listens for another type.
``renamed``: everything is well, under other names.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu

from lnn_ros import messages

_BEST = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_TURN_S = 0.005
_MOST = 20
_NOISE = np.random.default_rng(6)

Due = tuple[float, Callable[[], None]]
"""Seconds between two calls, and what is called."""


def _image(publisher: Any, width: int, height: int, clock: int = time.CLOCK_BOOTTIME) -> None:
    message = Image()
    pixels = _NOISE.integers(60, 200, (height, width, 3), np.uint8)
    messages.fill_image(message, pixels, time.clock_gettime_ns(clock), "camera")
    publisher.publish(message)


def _info(publisher: Any, width: int, height: int) -> None:
    message = CameraInfo()
    messages.fill_camera_info(message, width, height, width / 2,
                              time.clock_gettime_ns(time.CLOCK_BOOTTIME), "camera")
    publisher.publish(message)


def _imu(publisher: Any, up: float, clock: int) -> None:
    message = Imu()
    reading = np.array([0.0, 0.0, 0.0, 0.0, 0.0, up]) + _NOISE.normal(0.0, 0.01, 6)
    messages.fill_imu(message, reading, time.clock_gettime_ns(clock), "imu_link")
    publisher.publish(message)


def _command(publisher: Any) -> None:
    message = TwistStamped()
    messages.fill_command(message, np.zeros(4), time.time_ns(), "base_link")
    publisher.publish(message)


def sensors() -> Iterator[tuple[Node, list[Due]]]:
    """Wrong clocks, calibration and mounting, and a rival; nobody between it and the vehicle."""
    camera, imu, joystick = Node("camera_driver"), Node("imu_driver"), Node("joystick")
    yield camera, [
        (0.05, partial(_image, camera.create_publisher(Image, "image", _BEST), 64, 48)),
        (0.05, partial(_info, camera.create_publisher(CameraInfo, "camera_info", _BEST), 640, 480))]
    yield imu, [(0.005, partial(_imu, imu.create_publisher(Imu, "imu", _BEST), -9.81,
                                time.CLOCK_BOOTTIME))]
    yield joystick, [(0.1, partial(_command, joystick.create_publisher(TwistStamped, "cmd_vel",
                                                                       10)))]


def names() -> Iterator[tuple[Node, list[Due]]]:
    """Wrong names, types and qualities; a vehicle adapter runs between planner and autopilot."""
    camera, imu = Node("camera_driver"), Node("imu_driver")
    planner, autopilot = Node("planner"), Node("autopilot")
    compressed = camera.create_publisher(CompressedImage, "image", _BEST)
    yield camera, [
        (0.05, lambda: compressed.publish(CompressedImage(format="jpeg"))),
        (0.05, partial(_info, camera.create_publisher(CameraInfo, "camera_info", _BEST), 64, 48))]
    yield imu, [(0.005, partial(_imu, imu.create_publisher(Imu, "imu/data", _BEST), 9.81,
                                time.CLOCK_REALTIME))]
    yield planner, [(0.1, partial(_command, planner.create_publisher(TwistStamped, "cmd_vel",
                                                                     _BEST)))]
    state = autopilot.create_publisher(DiagnosticStatus, "vehicle_state", 10)
    autopilot.create_subscription(Twist, "vehicle/cmd_vel", lambda _: None, 10)
    yield autopilot, [(0.2, lambda: state.publish(DiagnosticStatus(name="autopilot")))]


def renamed() -> Iterator[tuple[Node, list[Due]]]:
    """Nothing wrong, but no name is ours."""
    camera, imu, autopilot = Node("camera_driver"), Node("imu_driver"), Node("autopilot")
    clock = time.CLOCK_REALTIME
    yield camera, [
        (0.05, partial(_image, camera.create_publisher(Image, "camera/image_raw", _BEST), 64, 48,
                       clock)),
        (0.05, partial(_info, camera.create_publisher(CameraInfo, "camera/info", _BEST), 64, 48))]
    yield imu, [(0.005, partial(_imu, imu.create_publisher(Imu, "imu/data", _BEST), -9.81, clock))]
    state = autopilot.create_publisher(DiagnosticStatus, "autopilot/state", 10)
    autopilot.create_subscription(Twist, "autopilot/velocity", lambda _: None, 10)
    said = [KeyValue(key="airborne", value="false"), KeyValue(key="velocity_mode", value="true")]
    yield autopilot, [(0.2, lambda: state.publish(DiagnosticStatus(name="a", values=said)))]


ROBOTS = {"sensors": sensors, "names": names, "renamed": renamed}


def main() -> int:
    """Publish until SIGINT or SIGTERM."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    parts = list(ROBOTS[sys.argv[1]]())
    actions = [action for _, actions in parts for action in actions]
    due = [time.monotonic()] * len(actions)
    while not stop.wait(_TURN_S / 2):
        now = time.monotonic()
        for number, (period, act) in enumerate(actions):
            for _ in range(_MOST):  # behind by more, it leaves time for the others
                if due[number] > now:
                    break
                due[number] += period
                act()
    for node, _ in parts:
        node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
