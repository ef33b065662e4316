"""A vehicle that takes our own command: TwistStamped in its body's frame."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.vehicles.base import Command, Said, Vehicle, read_twist, write_stamp, write_twist

TOPIC = "vehicle/cmd_vel"


class Stamped(Vehicle):
    """It is told what the controller says, as it is."""

    kind: ClassVar[str] = "stamped"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {TOPIC: "geometry_msgs/msg/TwistStamped"})

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        message = messages[TOPIC]
        write_stamp(message.header, at_ns, frame)
        write_twist(message.twist, command)

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        return read_twist(messages[TOPIC].twist)
