"""ArduPilot over its own DDS client (AP_DDS), from 4.5 on, in GUIDED.

It is told a TwistStamped in the frame ``map`` (east, north, up), rotated here. In ``base_link``,
the other frame that it takes (anything else is dropped), released versions fly to the right where
left is meant, and turn the velocity by the whole attitude, so that a forward velocity sinks or
climbs (libraries/AP_DDS/AP_DDS_ExternalControl.cpp, ``handle_velocity_control``; ArduPilot pull
request 34002).

The heading is that of its pose, whose orientation is forward, left, up in east, north, up whatever
its ``frame_id`` says (AP_DDS_Client.cpp, ``update_topic(geometry_msgs_msg_PoseStamped&)``, every
33 ms). Its status is latched; 4.5 has none, and the versions that first had it say it only when it
changes (pull requests 28337 and 31008). So the pose tells whether it still speaks: while it does
not, its status counts for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.messages import angles
from lnn_ros.vehicles.base import Command, Said, Vehicle, read_twist, write_stamp, write_twist
from lnn_ros.vehicles.heading import LASTS_S, Headed, from_map, heading_for, to_map

CMD_VEL, POSE, STATUS = "vehicle/cmd_vel", "vehicle/pose", "vehicle/status"

# By vehicle type (Status.msg): the number of the mode GUIDED of rover, copter and heli.
_GUIDED = {1: 15, 2: 4, 13: 4}


@dataclass(frozen=True)
class Autopilot(Headed):
    """What ArduPilot has said: its status, too, as it was when it last changed.

    Attributes
    ----------
    flies, guided : bool or None
        Whether it flies, and whether it is armed and in GUIDED.
    """

    flies: bool | None = None
    guided: bool | None = None

    def judged(self) -> Autopilot:
        """Return it with what that means now: a status of a vehicle that speaks no more is none."""
        if self.heading is None:
            return replace(self, airborne=None, velocity_mode=None)
        return replace(self, airborne=self.flies, velocity_mode=self.guided)


class ArduPilot(Vehicle):
    """It is told velocities in the map, and says pose and status."""

    kind: ClassVar[str] = "ardupilot"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {CMD_VEL: "geometry_msgs/msg/TwistStamped"})
    says: ClassVar[Mapping[str, str]] = MappingProxyType(
        {POSE: "geometry_msgs/msg/PoseStamped", STATUS: "ardupilot_msgs/msg/Status"})
    lasts: ClassVar[Mapping[str, float]] = MappingProxyType({POSE: LASTS_S, STATUS: inf})
    latched: ClassVar[Collection[str]] = (STATUS,)
    unheard: ClassVar[Said] = Autopilot()

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        heading = heading_for(said, command, f"geometry_msgs/msg/PoseStamped on {POSE}")
        message = messages[CMD_VEL]
        write_stamp(message.header, at_ns, "map")
        write_twist(message.twist, to_map(command, heading))

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        command = read_twist(messages[CMD_VEL].twist)
        return from_map(command, heading_for(said, command, POSE))

    def hear(self, said: Said, topic: str, message: Any) -> Said:
        assert isinstance(said, Autopilot)
        if topic == POSE:
            q = message.pose.orientation
            yaw = angles("the vehicle", (float(q.w), float(q.x), float(q.y), float(q.z)))[2]
            return replace(said, heading=yaw).judged()
        guided = int(message.mode) == _GUIDED.get(int(message.vehicle_type))
        return replace(said, flies=bool(message.flying),
                       guided=bool(message.armed) and guided).judged()

    def forget(self, said: Said, topic: str) -> Said:
        assert isinstance(said, Autopilot)
        return replace(said, heading=None).judged()
