"""PX4 over uXRCE-DDS, from 1.14 on, in OFFBOARD: px4_msgs, north, east, down.

Its topics are called as PX4 calls them, relative to the namespace (``UXRCE_DDS_NS`` there). From
1.16 on the name of a topic ends in ``_v`` and the version of its message, if that is not 0
(``MESSAGE_VERSION``; PX4 documentation, PX4-ROS 2 Message Translation Node): the version of the
installed px4_msgs counts, which has to be that of the firmware anyway.

OffboardControlMode says that velocities are meant, and that we are alive: PX4 wants it at 2 Hz or
more, for a second before it changes to OFFBOARD, and leaves OFFBOARD when it ends
(``COM_OF_LOSS_T``). The setpoint is published *only* in OFFBOARD: PX4 cannot tell it from those of
its own modes (PX4 documentation, Offboard Mode, ROS 2 Offboard Control). While nobody knows whether
it is in OFFBOARD nothing is said at all: it would go on with the last setpoint for as long as it
hears that we are alive. Units and frames: TrajectorySetpoint.msg, VehicleAttitude.msg; NaN is "not
controlled". Timestamps are microseconds by our clock; PX4 takes the difference of the clocks off.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.messages import angles
from lnn_ros.vehicles.base import Command, Said, Vehicle
from lnn_ros.vehicles.heading import LASTS_S, Headed, from_map, heading_for, to_map

MODE, SETPOINT = "fmu/in/offboard_control_mode", "fmu/in/trajectory_setpoint"
STATUS, LANDED = "fmu/out/vehicle_status", "fmu/out/vehicle_land_detected"
ATTITUDE = "fmu/out/vehicle_attitude"

_ARMED, _OFFBOARD = 2, 14  # VehicleStatus: ARMING_STATE_ARMED, NAVIGATION_STATE_OFFBOARD
_NOTHING = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Autopilot(Headed):
    """What PX4 has said.

    Attributes
    ----------
    armed, landed : bool or None
        Whether its motors may turn, and whether it stands on the ground.
    """

    armed: bool | None = None
    landed: bool | None = None

    def judged(self) -> Autopilot:
        """Return it with what that means: it flies if it is armed and not landed."""
        known = self.armed is not None and self.landed is not None
        return replace(self, airborne=self.armed and not self.landed if known else None)


class Px4(Vehicle):
    """It is told velocities in north, east, down, and that we are alive."""

    kind: ClassVar[str] = "px4"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType({
        MODE: "px4_msgs/msg/OffboardControlMode", SETPOINT: "px4_msgs/msg/TrajectorySetpoint"})
    says: ClassVar[Mapping[str, str]] = MappingProxyType({
        STATUS: "px4_msgs/msg/VehicleStatus", LANDED: "px4_msgs/msg/VehicleLandDetected",
        ATTITUDE: "px4_msgs/msg/VehicleAttitude"})
    lasts: ClassVar[Mapping[str, float]] = MappingProxyType({ATTITUDE: LASTS_S})
    unheard: ClassVar[Said] = Autopilot()

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        heading = heading_for(said, command, f"px4_msgs/msg/VehicleAttitude on {ATTITUDE}")
        east, north, up, rate = to_map(command, heading)
        mode, setpoint = messages[MODE], messages[SETPOINT]
        mode.timestamp = setpoint.timestamp = at_ns // 1000
        mode.position = mode.acceleration = mode.attitude = mode.body_rate = False
        mode.velocity = True
        setpoint.velocity[:] = north, east, -up
        setpoint.position[:] = setpoint.acceleration[:] = setpoint.jerk[:] = _NOTHING
        setpoint.yaw, setpoint.yawspeed = math.nan, -rate

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        setpoint = messages[SETPOINT]
        north, east, down = map(float, setpoint.velocity)
        command = east, north, -down, -float(setpoint.yawspeed)
        return from_map(command, heading_for(said, command, ATTITUDE))

    def told_on(self, said: Said) -> Collection[str]:
        if said.velocity_mode is None:
            return ()
        return (MODE, SETPOINT) if said.velocity_mode else (MODE,)

    def hear(self, said: Said, topic: str, message: Any) -> Said:
        assert isinstance(said, Autopilot)
        if topic == ATTITUDE:
            w, x, y, z = map(float, message.q)
            # From north to the right there, from east to the left here.
            yaw = math.pi / 2.0 - angles("the vehicle", (w, x, y, z))[2]
            return replace(said, heading=math.remainder(yaw, math.tau))
        if topic == LANDED:
            return replace(said, landed=bool(message.landed)).judged()
        armed = int(message.arming_state) == _ARMED
        return replace(said, armed=armed,
                       velocity_mode=armed and int(message.nav_state) == _OFFBOARD).judged()

    def forget(self, said: Said, topic: str) -> Said:
        assert isinstance(said, Autopilot)
        if topic == ATTITUDE:
            return replace(said, heading=None)
        if topic == LANDED:
            return replace(said, landed=None).judged()
        return replace(said, armed=None, velocity_mode=None).judged()

    def name(self, topic: str, message_type: Any) -> str:
        version = int(getattr(message_type, "MESSAGE_VERSION", 0))
        return f"{topic}_v{version}" if version else topic
