"""An autopilot behind MAVROS: ArduPilot in GUIDED, PX4 in OFFBOARD.

It is told by ``setpoint_raw/local``, whose message states its frame, so that no parameter of MAVROS
counts (``setpoint_velocity`` goes by its ``mav_frame``, which is the map by default). In
``FRAME_BODY_NED`` MAVROS takes forward, left and up, and turns them into forward, right and down
itself; the yaw rate is turned likewise (mavros/src/plugins/setpoint_raw.cpp, ``local_cb``).

What the autopilots make of that frame is level: PX4 from 1.13 on and ArduPilot turn the velocity by
the yaw alone (PX4 mavlink_receiver.cpp, ``handle_message_set_position_target_local_ned``, which up
to 1.12 turned it by the whole attitude; ArduCopter GCS_Mavlink.cpp,
``rotate_body_frame_to_NE``).

What it says: mavros/src/plugins/sys_status.cpp, mavros_msgs/State.msg and ExtendedState.msg, whose
numbers are those of MAVLink's EXTENDED_SYS_STATE.

It is told nothing while it stands, takes off or lands, if it says so: in GUIDED a velocity, zero as
well, ends a take-off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.vehicles.base import Command, Said, Vehicle, write_stamp, write_vector

SETPOINT, STATE, EXTENDED = "vehicle/setpoint", "vehicle/state", "vehicle/extended_state"

_FRAME_BODY_NED = 8
_IGNORE_POSITION, _IGNORE_ACCELERATION, _IGNORE_YAW = 1 | 2 | 4, 64 | 128 | 256, 1024
_UNDEFINED, _IN_AIR = 0, 2  # MAV_LANDED_STATE; 1: on the ground, 3: taking off, 4: landing
_MODES = ("GUIDED", "OFFBOARD")


class Mavros(Vehicle):
    """It is told velocities in its own levelled frame, and says mode and landed state."""

    kind: ClassVar[str] = "mavros"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {SETPOINT: "mavros_msgs/msg/PositionTarget"})
    says: ClassVar[Mapping[str, str]] = MappingProxyType(
        {STATE: "mavros_msgs/msg/State", EXTENDED: "mavros_msgs/msg/ExtendedState"})

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        message = messages[SETPOINT]
        write_stamp(message.header, at_ns, frame)
        message.coordinate_frame = _FRAME_BODY_NED
        message.type_mask = _IGNORE_POSITION | _IGNORE_ACCELERATION | _IGNORE_YAW
        write_vector(message.velocity, *command[:3])
        message.yaw_rate = command[3]

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        message = messages[SETPOINT]
        velocity = message.velocity
        return (float(velocity.x), float(velocity.y), float(velocity.z), float(message.yaw_rate))

    def told_on(self, said: Said) -> Collection[str]:
        return () if said.airborne is False else self.takes

    def hear(self, said: Said, topic: str, message: Any) -> Said:
        if topic == EXTENDED:
            # Taking off and landing are the autopilot's own, as if it stood.
            landed = int(message.landed_state)
            return replace(said, airborne=None if landed == _UNDEFINED else landed == _IN_AIR)
        return replace(said, velocity_mode=bool(
            message.connected and message.armed and str(message.mode) in _MODES))
