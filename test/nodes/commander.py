"""A controller that knows but one command: a process to be stopped and killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node

from lnn_ros.nodes import environment, qos
from lnn_ros.vehicles.base import Command, write_stamp, write_twist

PERIOD_S = 0.03


def command(numbers: Command, stamp_ns: int | None = None, frame: str = "base_link"):
    """Return a command of now."""
    message = TwistStamped()
    write_stamp(message.header, time.time_ns() if stamp_ns is None else stamp_ns, frame)
    write_twist(message.twist, numbers)
    return message


def main() -> None:
    """Publish it as the controller does, until the end."""
    vx, vy, vz, rate = map(float, sys.argv[1:5])
    environment.use_dds_profile("robot.xml")
    rclpy.init()
    node = Node("commander", start_parameter_services=False)
    publisher = node.create_publisher(TwistStamped, "cmd_vel", qos.command(PERIOD_S))
    while True:
        publisher.publish(command((vx, vy, vz, rate)))
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main()
