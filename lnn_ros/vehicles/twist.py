"""A vehicle that takes a Twist in its body's frame: Gazebo's multicopter, or a differential drive.

A differential drive uses the first and the last of the four numbers, and ignores the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.vehicles.base import Command, Said, Vehicle, read_twist, write_twist

TOPIC = "vehicle/cmd_vel"


class Twist(Vehicle):
    """It is told the numbers of the command, without stamp and frame."""

    kind: ClassVar[str] = "twist"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType({TOPIC: "geometry_msgs/msg/Twist"})

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        write_twist(messages[TOPIC], command)

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        return read_twist(messages[TOPIC])
