"""Gazebo's multicopter velocity controller: Twist, tilted with the vehicle.

It turns the velocity by the whole attitude of the body, so that forward is where the nose points,
and a vehicle that leans forward to fly forward sinks (gz-sim,
src/systems/multicopter_control/LeeVelocityController.cc, ``ComputeDesiredAcceleration``). So the
velocity is told as the tilted body sees it: with base_from_level the rotation by roll and pitch,
``told = base_from_level^T command``. The yaw rate is about the tilted axis there, too; that is left
as it is, 6 % too slow at 20 degrees.

It has no timeout: the last velocity holds for ever, which is what the adapter's own is for. Its
rotors stand still until the first message. It says nothing; the odometry tells the tilt. A vehicle
with odometry counts as one that flies and obeys: Gazebo's has neither modes nor a sense of ground.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from lnn_ros.errors import LnnError
from lnn_ros.messages import odometry_pose
from lnn_ros.vehicles.base import Command, Said, Vehicle, read_twist, write_twist

CMD_VEL, ODOM = "vehicle/cmd_vel", "odom"

_LASTS_S = 0.3  # how long a tilt counts


@dataclass(frozen=True)
class Tilted(Said):
    """What is known of the vehicle, and how it is tilted.

    Attributes
    ----------
    roll, pitch : float or None
        As in ``lnn_ros.messages.Pose``, rad; None is unknown.
    """

    roll: float | None = None
    pitch: float | None = None


class GazeboMulticopter(Vehicle):
    """It is told velocities in its tilted frame; its odometry is heard."""

    kind: ClassVar[str] = "gazebo_multicopter"
    takes: ClassVar[Mapping[str, str]] = MappingProxyType({CMD_VEL: "geometry_msgs/msg/Twist"})
    says: ClassVar[Mapping[str, str]] = MappingProxyType({ODOM: "nav_msgs/msg/Odometry"})
    lasts: ClassVar[Mapping[str, float]] = MappingProxyType({ODOM: _LASTS_S})
    unheard: ClassVar[Said] = Tilted()

    def tell(self, messages: Mapping[str, Any], command: Command, at_ns: int, frame: str,
             said: Said) -> None:
        assert isinstance(said, Tilted)
        if any(command) and (said.roll is None or said.pitch is None):
            raise LnnError(f"the vehicle's tilt is unknown: expected nav_msgs/msg/Odometry on "
                           f"{ODOM}, at least every {_LASTS_S:g} s")
        x, y, z, rate = command
        x, z = _turned(x, z, -(said.pitch or 0.0))
        z, y = _turned(z, y, -(said.roll or 0.0))
        write_twist(messages[CMD_VEL], (x, y, z, rate))

    def told(self, messages: Mapping[str, Any], said: Said) -> Command:
        assert isinstance(said, Tilted)
        x, y, z, rate = read_twist(messages[CMD_VEL])
        z, y = _turned(z, y, said.roll or 0.0)
        x, z = _turned(x, z, said.pitch or 0.0)
        return x, y, z, rate

    def hear(self, said: Said, topic: str, message: Any) -> Said:
        pose = odometry_pose(message)
        return Tilted(True, True, pose.roll, pose.pitch)


def _turned(first: float, second: float, angle: float) -> tuple[float, float]:
    """Turn the plane of two axes by an angle, from the second axis towards the first."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * first + sin * second, -sin * first + cos * second
