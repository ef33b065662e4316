"""A Crazyflie behind crazyswarm2's server: ``cmd_hover``.

It takes velocities forward and to the left in its levelled frame, a yaw rate in rad/s to the left,
and a *height* in place of a climb (crazyflie_interfaces/Hover.msg; crazyswarm2
crazyflie_server.cpp, ``cmd_hover_changed``). Its height controller climbs at
``gain * (height wanted - height)`` with a gain of 2 / s (crazyflie-firmware,
platform_defaults_cf2.h, ``PID_POS_Z_KP``), so the height that is wanted lies half a second of climb
away from the height where it is, which its pose tells. Zero is the height where it is, so that
it can drift up and down slowly.

It is told nothing while it does not fly: a setpoint would start its motors, or take it away from
its own take-off. And it must be told to the last: after half a second without a setpoint it levels
itself, after two it stops its motors and falls (crazyflie-firmware, commander.h,
``COMMANDER_WDT_TIMEOUT_SHUTDOWN``), unless its service ``notify_setpoints_stop`` has been called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.errors import LnnError
from lnn_ros.vehicles.base import Command, Said, Vehicle, write_stamp

HOVER, STATUS, POSE = "vehicle/cmd_hover", "vehicle/status", "vehicle/pose"

_AHEAD_S = 0.5  # 1 / gain of the height controller
_IS_FLYING, _IS_TUMBLED, _IS_LOCKED = 16, 32, 64  # Status.msg, supervisor_info
_POSE_LASTS_S = 0.5  # five of its messages


@dataclass(frozen=True)
class Hovering(Said):
    """What a Crazyflie has said, and how high it is.

    Attributes
    ----------
    height : float or None
        Where its pose last was, m; None is unknown.
    fresh : bool
        Whether that was just now.
    """

    height: float | None = None
    fresh: bool = False


class Crazyflie(Vehicle):
    """It is told horizontal velocities and a height."""

    kind: ClassVar[str] = "crazyflie"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType(
        {HOVER: "crazyflie_interfaces/msg/Hover"})
    says: ClassVar[Mapping[str, str]] = MappingProxyType(
        {STATUS: "crazyflie_interfaces/msg/Status", POSE: "geometry_msgs/msg/PoseStamped"})
    lasts: ClassVar[Mapping[str, float]] = MappingProxyType({POSE: _POSE_LASTS_S})
    unheard: ClassVar[Said] = Hovering()

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        assert isinstance(said, Hovering)
        if any(command) and not said.fresh:
            raise LnnError(f"the vehicle's height is unknown: expected geometry_msgs/msg/"
                           f"PoseStamped on {POSE}, at least every {_POSE_LASTS_S:g} s")
        message = messages[HOVER]
        write_stamp(message.header, at_ns, frame)
        message.vx, message.vy, climb, message.yaw_rate = command
        message.z_distance = (said.height or 0.0) + climb * _AHEAD_S

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        assert isinstance(said, Hovering)
        message = messages[HOVER]
        climb = (float(message.z_distance) - (said.height or 0.0)) / _AHEAD_S
        return float(message.vx), float(message.vy), climb, float(message.yaw_rate)

    def told_on(self, said: Said) -> Collection[str]:
        assert isinstance(said, Hovering)
        # With the height where it last was it stands, and without any it is not told one.
        return (HOVER,) if said.airborne and said.height is not None else ()

    def hear(self, said: Said, topic: str, message: Any) -> Said:
        assert isinstance(said, Hovering)
        if topic == POSE:
            height = float(message.pose.position.z)
            if not isfinite(height):
                raise LnnError(f"the vehicle's height is {height}: expected a finite number")
            return replace(said, height=height, fresh=True)
        info = int(message.supervisor_info)
        return replace(said, airborne=bool(info & _IS_FLYING),
                       velocity_mode=not info & (_IS_TUMBLED | _IS_LOCKED))

    def forget(self, said: Said, topic: str) -> Said:
        assert isinstance(said, Hovering)
        if topic == POSE:
            return replace(said, fresh=False)
        # Of a vehicle that flew it is safer to tell it to stand than to tell it nothing.
        return replace(said, velocity_mode=None)
